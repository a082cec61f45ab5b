"""One self-contained page per sweep: results/<sweep>/report.html.

cells (text of a number) -> table (runs, cost), comparisons, figures (their SVG, by inline_svg), provenance -> page,
which puts them into templates/. The template escapes whatever comes from records; the page's policy lets nothing else
run or be fetched.
"""
