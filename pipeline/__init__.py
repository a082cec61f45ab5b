"""From a grid of settings to a Pareto frontier of sparse autoencoders."""

import os

# MKL then gives the same bits whatever the number of threads; it is read once, before the first matmul.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
# Threads that wait for one another spin for about 0.1 ms, then sleep. Spinning on, as they would, makes a training step
# 40 times slower where another program uses the same cores; read once, when torch loads OpenMP.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
