"""Matrix products of the training step in the precision that a run asks for."""

import torch
from torch import Tensor

FLOAT32 = "float32"


def rounded(tensor: Tensor, precision: str) -> Tensor:
    """What `product` makes of it first: where many products take it, this is done once."""
    return tensor.detach() if precision == FLOAT32 else tensor.detach().bfloat16()


def product(a: Tensor, b: Tensor, precision: str) -> Tensor:
    """a @ b in the numbers' own precision; with bfloat16 both are rounded to it, sums and result are float32."""
    if precision == FLOAT32:
        return a @ b
    a, b = a.bfloat16(), b.bfloat16()
    if a.device.type == "cpu":
        return a.float() @ b.float()  # products of bfloat16 are exact in float32
    return torch.mm(a, b, out_dtype=torch.float32)
