"""Evaluation on held-out tokens: references shared by all runs, sums of one run, and metrics from these sums."""
