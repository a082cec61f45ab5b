"""Matrix products of the training step in the precision that a run asks for."""

import torch
from torch import Tensor

FLOAT32 = "float32"


def product(a: Tensor, b: Tensor, precision: str) -> Tensor:
    """a @ b in the numbers' own precision; with bfloat16 both are rounded to it, sums and result are float32."""
    if precision == FLOAT32:
        return a @ b
    a, b = a.bfloat16(), b.bfloat16()
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()  # products of bfloat16 are exact in float32
