"""Which entries a step computes with: the active ones if these are few, else all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import MappingProxyType
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.sae.precision import FLOAT32
from pipeline.sae.sparse_step.codes import Codes, DenseCodes
from pipeline.sae.sparse_step.codes_cpu import batch_top_k_cpu, compact_cpu, top_k_cpu

SPARSE_BELOW: Mapping[str, float] = MappingProxyType({"cpu": 0.22, "cuda": 0.03, "cuda bfloat16": 0.005})
"""Share of active entries from which a step is dense, per kind of device (one not listed: always dense), and per
precision of its products where this has its own.

On a CPU it is measured by benchmarks/crossover.py. On a GPU it is estimated for d_in 512 to 2560, from row reads and
products of a gated step on an H100. Sparse: six rows of d_in numbers per active entry at 3 TB/s. Dense, per entry: six
products at 50 (float32) or 500 (bfloat16) TFLOP/s and 25 passes over [batch, d_sae].
It is part of the numerics: another value gives other bits.
"""
ALWAYS, NEVER = 2.0, 0.0  # shares for `sparse_below`
_forced: float | None = None


class Selection(NamedTuple):
    """The entries to compute with, and their pre-activations: [nnz], or [batch, d_sae] if dense."""

    codes: Codes
    pre_acts: Tensor
    sparse: bool


def select_active(
    pre_acts: Float[Tensor, "batch d_sae"], threshold: Float[Tensor, " d_sae"], precision: str = FLOAT32
) -> Selection:
    """The entries whose pre-activation exceeds their feature's threshold if they are few, else all.

    The choice depends on shape and count alone (on a GPU also on whether Triton is installed), never on a timing. On a
    GPU the host waits for the count, here and nowhere else in a step.
    """
    compact = compact_cpu if pre_acts.device.type == "cpu" else compact_gpu
    most = round(_share(pre_acts.device.type, precision) * pre_acts.numel())
    found = compact(pre_acts.detach(), threshold.detach(), most) if most else None
    return Selection(*found, True) if found else Selection(DenseCodes(precision), pre_acts, False)


def select_top_k(
    pre_acts: Float[Tensor, "batch d_sae"], bias: Float[Tensor, " d_sae"], k: int, precision: str = FLOAT32,
    over_batch: bool = False,
) -> Selection:  # fmt: skip
    """Of each row the k entries with the largest pre-activation plus bias above zero; of equal ones the first.

    All entries, with a mask, if these are too many for a sparse step.

    Args:
        over_batch: the k * batch largest of the whole batch instead.
    """
    values, biases = pre_acts.detach(), bias.detach()
    mask, on_cpu = (batch_top_k_mask, batch_top_k_cpu) if over_batch else (top_k_mask, top_k_cpu)
    if not _few(k / pre_acts.shape[1], pre_acts, precision):
        return Selection(DenseCodes(precision, mask(values + biases, k)), pre_acts, False)
    if pre_acts.device.type == "cpu":
        return Selection(*on_cpu(values, biases, k), True)
    return Selection(*_indexed_gpu(values, mask(values + biases, k)), True)


def top_k_mask(scores: Float[Tensor, "rows n"], k: int) -> Bool[Tensor, "rows n"]:
    """Each row's k largest scores above zero; of equal ones the first."""
    if k >= scores.shape[1]:
        return scores > 0
    cut = scores.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)
    above, tied = scores > cut, scores == cut
    room = k - above.sum(1, keepdim=True)
    return (above | (tied & (tied.cumsum(1) <= room))) & (scores > 0)


def batch_top_k_mask(scores: Float[Tensor, "batch d_sae"], k: int) -> Bool[Tensor, "batch d_sae"]:
    """The k * batch largest scores above zero; of equal ones the first."""
    return top_k_mask(scores.reshape(1, -1), k * len(scores)).view(scores.shape)


def _few(share: float, pre_acts: Tensor, precision: str) -> bool:
    device = pre_acts.device.type
    return share < _share(device, precision) and (device == "cpu" or find_spec("triton") is not None)


@contextmanager
def sparse_below(share: float) -> Iterator[None]:
    """For measurements: within it, steps are sparse below this share of active entries on any device."""
    global _forced
    before, _forced = _forced, share
    try:
        yield
    finally:
        _forced = before


def _share(device: str, precision: str) -> float:
    if _forced is not None:
        return _forced
    return SPARSE_BELOW.get(f"{device} {precision}", SPARSE_BELOW.get(device, 0.0))


def compact_gpu(pre_acts: Tensor, threshold: Tensor, most: int) -> tuple[Codes, Tensor] | None:
    """As `compact_cpu`, on a GPU; None also without Triton, as on Windows."""
    if find_spec("triton") is None:
        return None
    active = pre_acts > threshold
    count = int(active.sum().item())
    return None if count >= most else _indexed_gpu(pre_acts, active, count)


def _indexed_gpu(
    pre_acts: Float[Tensor, "batch d_sae"], active: Bool[Tensor, "batch d_sae"], count: int | None = None
) -> tuple[Codes, Float[Tensor, " nnz"]]:
    from pipeline.sae.sparse_step.codes_gpu import SparseCodesGPU  # imports Triton

    codes = SparseCodesGPU(active, int(active.sum().item()) if count is None else count)
    return codes, pre_acts.flatten()[codes.positions]
