"""How many times more features one arm needs than another at equal fidelity, with intervals; from tables and records.

curves (fronts as lines) -> arms (which fronts are compared, under which name) -> documents (sums per document) ->
bootstrap, seeds (the two kinds of noise) -> ratio -> tables -> claims (words).
"""
