"""Sparse codes on a CPU, in compiled loops."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.sae.kernels import cpu
from pipeline.sae.kernels.jit import Array, split
from pipeline.sae.kernels.top_k_cpu import compact_top_k
from pipeline.sae.sparse_step.codes import IndexedCodes, ParameterGrad, Reconstruction, WeightGradTerm

NOWHERE = np.empty(0, np.int32)


class DeferredGradCPU(NamedTuple):
    """values^T @ rows, [d_sae, d_in], as compressed columns of values; Adam computes it a row at a time."""

    starts: Int[Array, " d_sae+1"]  # first entry of each feature, and the end of the last
    row: Int[Array, " nnz"]
    values: Float[Array, " nnz"]
    rows: Float[Array, "batch d_in"]
    added_to: Int[Array, " d_sae"] = NOWHERE  # by feature: which row of `added` its gradient has too; -1: none
    added: Float[Array, "n d_in"] | None = None

    def plus_rows(self, features: Int[Tensor, " n"], rows: Float[Tensor, "n d_in"]) -> ParameterGrad:
        assert self.added is None, "rows are added once"
        added_to = np.full(len(self.starts) - 1, -1, np.int32)
        added_to[features.numpy()] = np.arange(len(rows))
        return self._replace(added_to=added_to, added=rows.contiguous().numpy())

    def arrays(self) -> tuple[Array, ...]:
        """As `adam_deferred` takes it."""
        return (*self[:5], self.rows if self.added is None else self.added)

    def materialize(self) -> Float[Tensor, "d_sae d_in"]:
        whole = _weighted_rows(self.starts, self.row, self.values, torch.from_numpy(self.rows))
        if self.added is not None:
            features = torch.from_numpy(self.added_to)
            has = features >= 0
            whole[has] += torch.from_numpy(self.added)[features[has]]
        return whole


class SparseCodes(IndexedCodes):
    """The active entries as compressed rows (CSR), and their permutation to compressed columns (CSC)."""

    def __init__(self, shape: torch.Size, row_start: Array, row: Array, feature: Array) -> None:
        self.shape, self._row_start, self._feature = shape, row_start, feature
        self._feature_start, self._by_feature = np.empty(shape[1] + 1, np.int64), np.empty(len(feature), np.int64)
        self._row_by_feature = np.empty_like(row)
        cpu.csr_to_csc(row, feature, self._feature_start, self._by_feature, self._row_by_feature)
        self.row, self.feature = torch.from_numpy(row), torch.from_numpy(feature)

    def decode(self, values: Tensor, W_dec: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "batch d_in"]:
        return _weighted_rows(self._row_start, self._feature, values.numpy(), W_dec)

    def reconstruct(
        self, decoded: Sequence[Tensor], W_dec: Float[Tensor, "d_sae d_in"], x: Float[Tensor, "batch d_in"],
        scale: float,
    ) -> list[Reconstruction]:  # fmt: skip
        if len(decoded) > 2:
            return [found for values in decoded for found in self.reconstruct([values], W_dec, x, scale)]
        found = [(torch.empty_like(x), torch.empty_like(values)) for values in decoded]
        values, errors, grad_codes = (
            [tensor.numpy() for tensor in tensors] for tensors in (decoded, *zip(*found, strict=True))
        )
        table = W_dec.detach().numpy()
        csr, factor = (self._row_start, self._feature), table.dtype.type(scale)
        arguments = (*csr, *values, table, x.numpy(), factor, *errors, *grad_codes)
        loop = cpu.reconstruct if len(decoded) == 1 else cpu.reconstruct_two
        split(loop, arguments, self._row_start, 2 * len(decoded) * len(self._feature) * x.shape[1])
        return [Reconstruction((error,), error, grad) for error, grad in found]

    def weighted_rows(self, starts: Tensor, values: Tensor, table: Tensor) -> Tensor:
        return _weighted_rows(starts.numpy(), self._feature, values.numpy(), table)

    def dots(self, starts: Tensor, table: Tensor, rows: Tensor, scale: float) -> Tensor:
        out, numbers = rows.new_empty(len(self._feature)), table.detach().numpy()
        arguments = (starts.numpy(), self._feature, numbers, rows.numpy(), numbers.dtype.type(scale), out.numpy())
        split(cpu.dots, arguments, starts.numpy(), len(out) * rows.shape[1])
        return out

    def weight_grad(self, *terms: WeightGradTerm, scale: float = 1.0) -> ParameterGrad:
        scaled = (term.values if scale == 1.0 else scale * term.values for term in terms)
        values = [values.numpy()[self._by_feature] for values in scaled]
        if len(terms) == 1 and not terms[0].prefixes:
            return DeferredGradCPU(self._feature_start, self._row_by_feature, values[0], terms[0].rows.numpy())
        # An entry's terms follow each other, and the rows of one term stand below another's.
        row, above = [], 0
        for term in terms:
            row.append(self._row_by_feature + np.int32(above))
            if term.prefixes:
                row[-1] += self.slice_of(term.prefixes).numpy()[self._by_feature].astype(np.int32) * np.int32(
                    self.shape[0]
                )
            above += len(term.rows)
        rows = torch.cat([term.rows for term in terms]).numpy()
        starts = len(terms) * self._feature_start
        return DeferredGradCPU(starts, np.stack(row, axis=1).ravel(), np.stack(values, axis=1).ravel(), rows)

    def sum(self, values: Tensor) -> Float[Tensor, " d_sae"]:
        sums = values.new_empty(self.shape[1])
        cpu.sums_by_column(self._feature, values.numpy(), sums.numpy())
        return sums

    def fired(self, values: Tensor) -> Bool[Tensor, " d_sae"]:
        found = torch.empty(self.shape[1], dtype=torch.bool)
        cpu.positive_by_column(self._feature, values.numpy(), found.numpy())
        return found


def compact_cpu(pre_acts: Tensor, threshold: Tensor, most: int) -> tuple[SparseCodes, Tensor] | None:
    """The active entries and their pre-activations [nnz], if there are fewer than `most`; else None."""
    found = _compact(cpu.compact_above, pre_acts, (threshold.numpy(), most))
    return None if len(found[-1]) >= most else _codes(pre_acts.shape, *found)


def top_k_cpu(pre_acts: Tensor, bias: Tensor, k: int) -> tuple[SparseCodes, Tensor]:
    """Of each row the k entries with the largest pre-activation plus bias, if this is above zero; of ties the first."""
    return _codes(pre_acts.shape, *_compact(compact_top_k, pre_acts, (bias.numpy(), k)))


def batch_top_k_cpu(pre_acts: Tensor, bias: Tensor, k: int) -> tuple[SparseCodes, Tensor]:
    """Of the whole batch the k * batch entries with the largest pre-activation plus bias above zero; of ties the first.

    Entries are listed above a bound that a sample of rows suggests; if these turn out to be too few, above zero.
    """
    values, number = pre_acts.numpy(), k * len(pre_acts)
    sample = (values[::SAMPLED] + bias.numpy()).ravel()
    expected = min(len(sample), 3 * number // (2 * SAMPLED) + 1)
    bound = max(0.0, float(np.partition(sample, -expected)[-expected]))
    for least in (bound, 0.0):
        row, feature, active = _compact(cpu.compact_above, pre_acts, ((least - bias).numpy(), values.size + 1))
        score = active + bias.numpy()[feature]
        certain = least * (1 + 1e-5)  # the list above was rounded otherwise
        if least == 0.0 or np.count_nonzero(score > certain) >= number:
            break
    kept = largest(score, number)
    return _codes(pre_acts.shape, row[kept], feature[kept], active[kept])


SAMPLED = 16
"""Every so many rows are looked at for a bound."""


def largest(score: Array, number: int) -> Array:
    """Places of the largest scores above zero, in rising order; of equal scores the first."""
    positive = np.flatnonzero(score > 0)
    if len(positive) <= number:
        return positive
    found = score[positive]
    cut = np.partition(found, -number)[-number]
    above, ties = found > cut, np.flatnonzero(found == cut)
    above[ties[: number - np.count_nonzero(above)]] = True
    kept: Array = positive[above]
    return kept


def _codes(shape: torch.Size, row: Array, feature: Array, active: Array) -> tuple[SparseCodes, Tensor]:
    row_start = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=shape[0]), out=row_start[1:])
    return SparseCodes(shape, row_start, row, feature), torch.from_numpy(active)


def _compact(loop: Callable[..., None], pre_acts: Tensor, arguments: tuple[Any, ...]) -> tuple[Array, Array, Array]:
    """Rows, features and pre-activations that a loop lists."""
    values = pre_acts.numpy()
    buffers, counts = _buffers(values.size, values.dtype), np.zeros(len(values), np.int64)
    ranges = split(loop, (values, *arguments, counts, *buffers), len(values), 8 * values.size)
    width, ends = values.shape[1], np.concatenate([[0], np.cumsum(counts)])
    found = [slice(first * width, first * width + ends[last] - ends[first]) for first, last in ranges]
    row, feature, active = (np.concatenate([buffer[part] for part in found]) for buffer in buffers)
    return row, feature, active


@lru_cache(maxsize=1)
def _buffers(count: int, dtype: np.dtype) -> tuple[Array, Array, Array]:
    """Memory for rows, columns and values, reused: fresh pages per step would cost as much as the search."""
    return np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, dtype)


ROWS_PER_GROUP = 512
"""Rows that `weighted_sum` adds up at a time; a constant, so that the order depends on the shape alone."""


def weighted_sum(weights: Float[Tensor, " n"], table: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """weights @ table; on a CPU with the same bits on any number of threads, which BLAS does not promise."""
    if weights.device.type != "cpu":
        return table.T @ weights
    starts = np.append(np.arange(0, len(table), ROWS_PER_GROUP), len(table))
    return _weighted_rows(starts, np.arange(len(table), dtype=np.int32), weights.numpy(), table).sum(0)


def _weighted_rows(starts: Array, index: Array, weights: Array, table: Tensor) -> Tensor:
    """Weighted sums of the rows of `table` [n, d] per group: [groups, d]."""
    out = table.new_empty(len(starts) - 1, table.shape[1])
    arguments = (starts, index, weights, table.detach().numpy(), out.numpy())
    split(cpu.weighted_rows, arguments, starts, len(index) * table.shape[1])
    return out
