"""Which pairs of input and feature a step computes with: all, or the active ones where these are few."""

from importlib.util import find_spec
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from pipeline.sae.active_pairs import active_pairs
from pipeline.sae.pairs import AllPairs, Pairs
from pipeline.sae.precision import FLOAT32

SPARSE_BELOW = {"cpu": 0.22, "cuda": 0.005}
"""Share of active pairs from which a step is dense, by kind of device (none: always dense).

On a CPU measured by benchmarks/crossover.py; on a GPU reckoned from an H200's bandwidth and bfloat16 rate.
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
    kind = products.device.type
    listed = active_pairs if kind == "cpu" else active_on_device
    found = listed(products.detach(), threshold.detach(), round(SPARSE_BELOW.get(kind, 0.0) * products.numel()))
    return Chosen(*found, True) if found else Chosen(AllPairs(precision), products, False)


def active_on_device(products: Tensor, threshold: Tensor, most: int) -> tuple[Pairs, Tensor] | None:
    """The active pairs and their products, where there are fewer than `most` (and Triton, which Windows has not)."""
    active = products > threshold
    if find_spec("triton") is None or active.sum().item() >= most:
        return None
    from pipeline.sae.gpu.active_pairs import DevicePairs  # imports Triton

    pairs = DevicePairs(active)
    return pairs, products.flatten()[pairs.places]
