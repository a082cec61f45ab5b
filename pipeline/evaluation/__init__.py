"""Evaluation on held-out tokens: references shared by all runs, sums of one run, and the metrics made from them."""
