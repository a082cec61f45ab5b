"""Compiled loops against NumPy, and against themselves split over threads."""

import numpy as np
import pytest
import torch

from pipeline.sae.kernels import cpu, jit
from pipeline.sae.kernels.jit import split
from pipeline.sae.sparse_step.codes_cpu import compact_cpu

BATCH, D_SAE, D_IN = 9, 37, 21  # no multiple of eight


@pytest.fixture
def drawn() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("width", [1, 8, 37, 64])
def test_what_is_above_its_columns_threshold_is_listed_row_by_row(drawn, width, share) -> None:
    values, threshold = drawn.random((BATCH, width), np.float32), np.full(width, 1 - share, np.float32)
    expected = values > threshold
    rows, columns = np.empty((2, values.size), np.int32)
    counts, listed = np.zeros(BATCH, np.int64), np.empty(values.size, np.float32)
    arguments = (values, threshold, values.size + 1, counts, rows, columns, listed)
    for first, last in ((0, 4), (4, BATCH)):  # a range lists from the place where its first row's values begin
        cpu.compact_above(*arguments, first, last)
        part = slice(first * width, first * width + counts[first:last].sum())
        found = expected[first:last]
        assert np.array_equal(counts[first:last], found.sum(1))
        assert np.array_equal([rows[part] - first, columns[part]], np.nonzero(found))
        assert np.array_equal(listed[part], values[first:last][found])


def test_listing_ends_after_the_row_that_reaches_the_most(drawn) -> None:
    values, threshold, counts = np.ones((BATCH, 8), np.float32), np.zeros(8, np.float32), np.zeros(BATCH, np.int64)
    places = np.empty(72, np.int32), np.empty(72, np.int32), np.empty(72, np.float32)
    cpu.compact_above(values, threshold, 17, counts, *places, 0, BATCH)
    assert counts.tolist() == [8, 8, 8, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("width", [8, 37])
def test_pairs_are_found_alike_by_any_number_of_threads(drawn, monkeypatch, threads, width) -> None:
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    torch.set_num_threads(threads)
    pre_acts, threshold = torch.from_numpy(drawn.random((BATCH, width), np.float32)), torch.full((width,), 0.7)
    active = pre_acts > threshold
    count = int(active.sum())
    found = compact_cpu(pre_acts, threshold, count + 1)
    assert found is not None
    codes, values = found
    assert torch.equal(torch.stack([codes.row, codes.feature]).long(), torch.stack(active.nonzero(as_tuple=True)))
    assert torch.equal(values, pre_acts[active])
    assert compact_cpu(pre_acts, threshold, count) is None
    assert compact_cpu(pre_acts, threshold, 1) is None


def test_pairs_are_ordered_by_column_and_stay_in_order_within_one(drawn) -> None:
    rows, columns = np.arange(500, dtype=np.int32) // 3, drawn.integers(0, D_SAE, 500).astype(np.int32)
    starts, order, rows_in_order = np.empty(D_SAE + 1, np.int64), np.empty(500, np.int64), np.empty_like(rows)
    cpu.csr_to_csc(rows, columns, starts, order, rows_in_order)
    assert np.array_equal(order, np.argsort(columns, kind="stable")) and np.array_equal(rows_in_order, rows[order])
    assert np.array_equal(starts, np.searchsorted(np.sort(columns), np.arange(D_SAE + 1)))


def test_products_and_sums_over_pairs_are_those_of_the_dense_matrices(drawn) -> None:
    dense = np.where(drawn.random((BATCH, D_SAE)) < 0.3, drawn.standard_normal((BATCH, D_SAE)), 0)
    row, column = np.nonzero(dense)
    column = column.astype(np.int32)
    starts, values = np.searchsorted(row, np.arange(BATCH + 1)), dense[row, column]
    table, x = drawn.standard_normal((D_SAE, D_IN)), drawn.standard_normal((BATCH, D_IN))
    decoded, error, grad_codes = np.empty_like(x), np.empty_like(x), np.empty_like(values)
    cpu.weighted_rows(starts, column, values, table, decoded, 0, BATCH)
    cpu.reconstruct(starts, column, values, table, x, 0.5, error, grad_codes, 0, BATCH)
    np.testing.assert_allclose(decoded, dense @ table, atol=1e-12)
    np.testing.assert_allclose(error, dense @ table - x, atol=1e-12)
    np.testing.assert_allclose(grad_codes, (0.5 * error @ table.T)[row, column], atol=1e-12)
    sums, positive = np.empty(D_SAE), np.empty(D_SAE, np.bool_)
    cpu.sums_by_column(column, values, sums)
    cpu.positive_by_column(column, values, positive)
    np.testing.assert_allclose(sums, dense.sum(0), atol=1e-12)
    assert np.array_equal(positive, (dense > 0).any(0)) and 0 < positive.sum() < D_SAE


def test_split_covers_every_group_once_whatever_the_number_of_threads(monkeypatch) -> None:
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    starts = np.cumsum([0, 5, 0, 0, 100, 1, 3, 0, 7])
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        for groups in (8, starts):
            seen: list[int] = []
            split(lambda name, first, last, seen=seen: seen.extend(range(first, last)), ("name",), groups, 1.0)
            assert sorted(seen) == list(range(8))


def test_an_error_in_a_thread_is_raised(monkeypatch) -> None:
    monkeypatch.setattr(jit, "MIN_PARALLEL_WORK", 0)
    torch.set_num_threads(2)

    def loop(first: int, last: int) -> None:
        if first:
            raise MemoryError

    with pytest.raises(MemoryError):
        split(loop, (), 8, 1.0)
