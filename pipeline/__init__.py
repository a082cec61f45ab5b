"""From a grid of settings to a Pareto frontier of sparse autoencoders."""

import os

# MKL then gives the same bits whatever the number of threads; it is read once, before the first matmul.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
