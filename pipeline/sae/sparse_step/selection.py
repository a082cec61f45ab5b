"""Which pairs of input and feature a step computes with: all, or the active ones where these are few."""

from importlib.util import find_spec
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from pipeline.sae.precision import FLOAT32
from pipeline.sae.sparse_step.codes import AllPairs, Pairs
from pipeline.sae.sparse_step.codes_cpu import active_pairs

SPARSE_BELOW = {"cpu": 0.22, "cuda": 0.03, "cuda bfloat16": 0.005}
"""Share of active pairs from which a step is dense, by kind of device (none: always dense), and by the precision of its
products where this has another.

On a CPU measured by benchmarks/crossover.py. On a GPU reckoned for d_in 512 to 2560, in row reads and products of a
gated step on an H100: six rows of d_in numbers an active pair at 3 TB/s; dense, for each pair of all, six products at
50 (float32) or 500 (bfloat16) TFLOP/s and 25 passes over a tensor of features.
Part of the numerics: a change of it is a change of bits.
"""


class Chosen(NamedTuple):
    """The pairs to compute with, and the encoder's products there."""

    pairs: Pairs
    products: Tensor
    sparse: bool


def choose_pairs(
    products: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"], precision: str = FLOAT32
) -> Chosen:
    """The pairs whose product exceeds their feature's threshold where they are few, else all.

    A function of shape and count alone (on a GPU of whether there is Triton too), never of a timing. On a GPU the host
    waits for the count, here and nowhere else in a step.
    """
    listed = active_pairs if products.device.type == "cpu" else active_on_device
    most = round(sparse_below(products.device.type, precision) * products.numel())
    found = listed(products.detach(), threshold.detach(), most) if most else None
    return Chosen(*found, True) if found else Chosen(AllPairs(precision), products, False)


def sparse_below(device: str, precision: str) -> float:
    return SPARSE_BELOW.get(f"{device} {precision}", SPARSE_BELOW.get(device, 0.0))


def active_on_device(products: Tensor, threshold: Tensor, most: int) -> tuple[Pairs, Tensor] | None:
    """The active pairs and their products, where there are fewer than `most` (and Triton, which Windows has not)."""
    if find_spec("triton") is None:
        return None
    active = products > threshold
    count = int(active.sum().item())
    if count >= most:
        return None
    from pipeline.sae.sparse_step.codes_gpu import DevicePairs  # imports Triton

    pairs = DevicePairs(active, count)
    return pairs, products.flatten()[pairs.places]
