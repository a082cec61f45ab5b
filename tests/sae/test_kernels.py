"""Compiled loops against NumPy, and against themselves split over threads."""

import numpy as np
import pytest
import torch

from pipeline.sae import compiled, kernels
from pipeline.sae.compiled import split

BATCH, D_SAE, D_IN = 9, 37, 21  # no multiple of eight


@pytest.fixture
def drawn() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("width", [1, 8, 37, 64])
def test_marks_are_listed_row_by_row(drawn, width, share) -> None:
    values, threshold = drawn.random((BATCH, width), np.float32), np.full(width, 1 - share, np.float32)
    marked, counts = np.empty(values.shape, np.bool_), np.empty(BATCH, np.int64)
    kernels.mark(values, threshold, marked, counts, 0, BATCH)
    expected = values > threshold
    assert np.array_equal(marked, expected) and np.array_equal(counts, expected.sum(1))
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows, columns = np.empty((2, starts[-1]), np.int32)
    listed = np.empty(starts[-1], np.float32)
    kernels.list_marked(marked, values, starts, rows, columns, listed, 0, BATCH)
    assert np.array_equal([rows, columns], np.nonzero(expected)) and np.array_equal(listed, values[expected])


def test_pairs_are_ordered_by_column_and_stay_in_order_within_one(drawn) -> None:
    columns = drawn.integers(0, D_SAE, 500).astype(np.int32)
    starts, order = np.empty(D_SAE + 1, np.int64), np.empty(500, np.int64)
    kernels.order_by_column(columns, starts, order)
    assert np.array_equal(order, np.argsort(columns, kind="stable"))
    assert np.array_equal(starts, np.searchsorted(np.sort(columns), np.arange(D_SAE + 1)))


def test_products_and_sums_over_pairs_are_those_of_the_dense_matrices(drawn) -> None:
    dense = np.where(drawn.random((BATCH, D_SAE)) < 0.3, drawn.standard_normal((BATCH, D_SAE)), 0)
    row, column = np.nonzero(dense)
    column = column.astype(np.int32)
    starts, values = np.searchsorted(row, np.arange(BATCH + 1)), dense[row, column]
    table, x = drawn.standard_normal((D_SAE, D_IN)), drawn.standard_normal((BATCH, D_IN))
    decoded, error, products = np.empty_like(x), np.empty_like(x), np.empty_like(values)
    kernels.weighted_rows(starts, column, values, table, decoded, 0, BATCH)
    kernels.reconstruct(starts, column, values, table, x, 0.5, error, products, 0, BATCH)
    np.testing.assert_allclose(decoded, dense @ table, atol=1e-12)
    np.testing.assert_allclose(error, dense @ table - x, atol=1e-12)
    np.testing.assert_allclose(products, (0.5 * error @ table.T)[row, column], atol=1e-12)
    sums, positive = np.empty(D_SAE), np.empty(D_SAE, np.bool_)
    kernels.sums_by_column(column, values, sums)
    kernels.positive_by_column(column, values, positive)
    np.testing.assert_allclose(sums, dense.sum(0), atol=1e-12)
    assert np.array_equal(positive, (dense > 0).any(0)) and 0 < positive.sum() < D_SAE


def test_split_covers_every_group_once_whatever_the_number_of_threads(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "SPLIT_FROM", 0)
    starts = np.cumsum([0, 5, 0, 0, 100, 1, 3, 0, 7])
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        for groups in (8, starts):
            seen: list[int] = []
            split(lambda name, first, last, seen=seen: seen.extend(range(first, last)), ("name",), groups, 1.0)
            assert sorted(seen) == list(range(8))


def test_an_error_in_a_thread_is_raised(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "SPLIT_FROM", 0)
    torch.set_num_threads(2)

    def loop(first: int, last: int) -> None:
        if first:
            raise MemoryError

    with pytest.raises(MemoryError):
        split(loop, (), 8, 1.0)
