"""What MKL, OpenMP, cuBLAS and malloc read once: imported for its effect, by doors and workers, before torch."""

import ctypes
import os
from contextlib import suppress

# MKL then gives the same bits whatever the number of threads; it is read once, before the first matmul.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
# Threads that wait for one another spin for about 0.1 ms, then sleep. Spinning on, as they would, makes a training step
# 40 times slower where another program uses the same cores; read once, when torch loads OpenMP.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# cuBLAS then gives the same bits whatever another stream does (pipeline/activations/prefetch.py); it is read once.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# Memory of up to 1 GB that is freed is kept for the next tensor of its size; glibc would give back every piece above
# 32 MB, and fresh pages for each took a fifth of the time of a wide SAE's step.
with suppress(OSError, AttributeError):
    for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        ctypes.CDLL("libc.so.6").mallopt(parameter, 1 << 30)
