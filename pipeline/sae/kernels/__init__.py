"""Compiled loops, on a CPU and on a GPU."""
