"""Figures of the paper, from the table of runs: each has `data`, what it shows, and `draw`, how."""
