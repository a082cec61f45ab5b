"""Which features are active: above a threshold of their own, among the k largest of a row, or of a batch."""

from typing import TYPE_CHECKING, Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.sae.objective import StepContext
from pipeline.sae.precision import FLOAT32
from pipeline.sae.sparse_step.codes import DenseCodes
from pipeline.sae.sparse_step.selection import (
    Selection,
    batch_top_k_mask,
    select_active,
    select_top_k,
    top_k_mask,
)

if TYPE_CHECKING:
    from pipeline.sae.sparse_step.step import ElementwiseSAE


class Selector(Protocol):
    """`at` is None at inference."""

    def select(
        self, sae: "ElementwiseSAE", pre_acts: Float[Tensor, "batch d_sae"], at: StepContext | None
    ) -> Selection: ...

    def mask(
        self, sae: "ElementwiseSAE", pre_acts: Float[Tensor, "batch d_sae"], at: StepContext | None
    ) -> Bool[Tensor, "batch d_sae"] | None:
        """The same entries; None where the activations of all others are zero by themselves."""
        ...


class ByThreshold:
    """Entries above their feature's threshold, `sae.active_above()`."""

    def select(self, sae: "ElementwiseSAE", pre_acts: Tensor, at: StepContext | None) -> Selection:
        return select_active(pre_acts, sae.active_above(), sae.precision if at else FLOAT32)

    def mask(self, sae: "ElementwiseSAE", pre_acts: Tensor, at: StepContext | None) -> None:
        return None


class TopK:
    """Of each row the k largest above zero (Gao et al., arXiv 2406.04093); of equal ones the first features."""

    def __init__(self, k: int) -> None:
        self.k = k

    def select(self, sae: "ElementwiseSAE", pre_acts: Tensor, at: StepContext | None) -> Selection:
        return select_top_k(pre_acts, sae.gate_biases(), self.k, sae.precision if at else FLOAT32)

    def mask(self, sae: "ElementwiseSAE", pre_acts: Tensor, at: StepContext | None) -> Tensor:
        return top_k_mask(pre_acts.detach() + sae.gate_biases().detach(), self.k)


class BatchTopK:
    """Of a batch the k * batch largest above zero (Bussmann et al., arXiv 2412.06410).

    At inference: entries above `sae.running_threshold`, a running mean of training batches' smallest active entry.
    """

    def __init__(self, k: int) -> None:
        self.k = k

    def select(self, sae: "ElementwiseSAE", pre_acts: Tensor, at: StepContext | None) -> Selection:
        if at is None:
            found = select_active(pre_acts, self._threshold(sae))
            return found if found.sparse else found._replace(codes=DenseCodes(mask=self.mask(sae, pre_acts, at)))
        return select_top_k(pre_acts, sae.gate_biases(), self.k, sae.precision, over_batch=True)

    def mask(self, sae: "ElementwiseSAE", pre_acts: Tensor, at: StepContext | None) -> Tensor:
        if at is None:
            return pre_acts.detach() > self._threshold(sae)
        return batch_top_k_mask(pre_acts.detach() + sae.gate_biases().detach(), self.k)

    def _threshold(self, sae: "ElementwiseSAE") -> Float[Tensor, " d_sae"]:
        return sae.get_buffer("running_threshold") - sae.gate_biases().detach()
