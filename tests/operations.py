"""Watches PyTorch's operations on a CPU and refuses those whose bits may follow the number of threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.sae.precision import may_be_split

EACH_BY_ITSELF = """
    abs add add_ addcmul bitwise_and bitwise_not clamp clamp_min cos div div_ eq exp ge gelu gt le lerp log10 lt
    masked_fill_ mul mul_ ne neg pow reciprocal relu remainder rsqrt sin sqrt sub threshold_backward where
"""
"""A number of the result is made of one number of each operand: no order, so nothing that threads could change."""
MOVES = """
    _to_copy _unsafe_view alias arange cat clone copy_ detach embedding empty empty_like expand fill_ full full_like
    index index_copy_ index_put_ index_select lift_fresh new_empty ones permute scalar_tensor
    select set_ slice split stack t transpose unbind unsqueeze view zero_ zeros zeros_like _local_scalar_dense
"""
"""Nothing is summed; no place is written twice with different numbers."""
EXACT = "all any bincount histogram isin nonzero searchsorted sort"
"""Of whole numbers, truth values, or counts: exact in any order."""
DRAWS = "multinomial normal_ rand randn randperm uniform_"
"""By one thread, from a generator that is passed on; test_threads.py compares large ones."""
BY_ROW = "_softmax _log_softmax native_layer_norm"
"""A row is one thread's."""
REDUCTIONS = {"sum", "mean", "amax", "linalg_vector_norm"}
"""PyTorch splits the places of the result over threads, and what is summed only where the result is one number."""
PRODUCTS = {"mm", "addmm", "bmm"}
"""See `_of_product`."""
KNOWN = {name for family in (EACH_BY_ITSELF, MOVES, EXACT, DRAWS, BY_ROW) for name in family.split()}


class Refused(Exception):
    """The bits of an operation may follow the number of threads, or nobody has looked whether they do."""


class Watched(TorchDispatchMode):
    """Within, an operation that is not known to be the same under any number of threads raises `Refused`."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.refused: list[str] = []
        self._in_the_model = False

    @contextmanager
    def of_the_language_model(self) -> Iterator[None]:
        """Its products may be small: their shapes are the model's, and the tests' model is tiny."""
        before, self._in_the_model = self._in_the_model, True
        try:
            yield
        finally:
            self._in_the_model = before

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        result = func(*args, **(kwargs or {}))
        why = self._why_refused(name, args, result)
        self.seen.add(name)
        if why:
            shapes = [tuple(each.shape) for each in args if isinstance(each, Tensor)]
            self.refused.append(f"{name} of {shapes}: {why}")
            raise Refused(self.refused[-1])
        return result

    def _why_refused(self, name: str, args: tuple[Any, ...], result: Any) -> str:
        if name in KNOWN:
            return ""
        if name == "nll_loss_forward":
            return "" if args[3] == 0 else "summed over all rows"
        if name in {*REDUCTIONS, "cumsum"} and not args[0].is_floating_point():
            return ""  # exact
        if name in REDUCTIONS:
            return "" if result.numel() != 1 or args[0].numel() == 1 else "a sum to one number is split"
        if name in PRODUCTS:
            return self._of_product(result)
        return "on no list of operations that threads do not change"

    def _of_product(self, result: Tensor) -> str:
        """Of a matrix and a vector: follows threads on an Intel Xeon. Of a small result: on an AMD EPYC."""
        rows, columns = result.shape[-2:]
        threads = torch.get_num_threads()
        if self._in_the_model or result.ndim == 3:  # the matrices of a batch are one thread's each
            return "a product with a vector" if min(rows, columns) == 1 else ""
        return "" if threads == 1 or may_be_split(rows, columns, threads) else "a product with a small result"
