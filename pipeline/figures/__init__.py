"""Figures, from what aggregation has read. Each is a module named figure_*: `data`, what it shows, and `draw`, how.

`find.py` finds them, and those of a user's folder figures/. The paper's figures 5, 12 and 13 are figure 1 for other
models, sites and layers, and its figure 14 is figure 6: a sweep over Pythia's layers draws 12 as its figure 1, and
nothing is drawn twice.
"""
