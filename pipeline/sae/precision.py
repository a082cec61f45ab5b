"""Matrix products of SAEs: in a run's precision, and with the same bits on any number of threads."""

import torch
from torch import Tensor

FLOAT32 = "float32"
ROWS_AND_COLUMNS, NUMBERS_A_THREAD = 16, 4096
"""Least size of a result that several threads compute: BLAS may sum narrow parts of a result in another order.

On an AMD EPYC the largest part in which MKL's bits still followed the number of threads (2 to 64) had 2048 numbers.
"""


def rounded(tensor: Tensor, precision: str) -> Tensor:
    """The rounding that `product` does first: done once for a tensor of many products."""
    return tensor.detach() if precision == FLOAT32 else tensor.detach().bfloat16()


def product(a: Tensor, b: Tensor, precision: str = FLOAT32) -> Tensor:
    """a @ b in the numbers' own precision; with bfloat16 both are rounded to it, sums and result are float32."""
    if precision == FLOAT32:
        return _product(a, b)
    a, b = a.bfloat16(), b.bfloat16()
    if a.device.type == "cpu":
        return _product(a.float(), b.float())  # products of bfloat16 are exact in float32
    return torch.mm(a, b, out_dtype=torch.float32)


def may_be_split(rows: int, columns: int, threads: int) -> bool:
    """Whether this many threads compute a result of this shape with the bits of one thread."""
    return min(rows, columns) >= ROWS_AND_COLUMNS and rows * columns >= NUMBERS_A_THREAD * threads


def _product(a: Tensor, b: Tensor) -> Tensor:
    threads = torch.get_num_threads()
    if threads == 1 or a.device.type != "cpu" or may_be_split(len(a), b.shape[1], threads):
        return a @ b
    torch.set_num_threads(1)
    try:
        return a @ b
    finally:
        torch.set_num_threads(threads)
