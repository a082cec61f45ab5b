"""How many times more features one arm needs than another at equal fidelity, with intervals; from tables and records.

What it estimates, and which words it may use, is in docs/statistics.md. The path of the data:

arms (which fronts are compared, under which name), documents (sums of each) -> panel (what is compared with each
other) -> along (two fronts read along what they share) -> bootstrap, seeds (the two kinds of noise), noise (both
together), band (along the whole curve) -> estimate -> measure (all of one pair) -> compare (all of one panel) ->
questions, family (verdicts and their levels) -> claims -> findings (all of a sweep) -> tables, summary.
"""
