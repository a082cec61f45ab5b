"""What tensors of a kind of device hold at the most, counted from PyTorch's own operations: no device is needed."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of storages that operations make while it is entered, and lets go those that are dropped.

    On `meta`, where tensors have shapes and no memory, a step of any size is counted in milliseconds. What an
    operation holds inside itself, and what the allocator holds back, is not seen.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.now, self.most = device, 0, 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == self.device:
                self._count(leaf.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._seen:
            self._seen.add(storage)
            self._add(storage.nbytes())
            weakref.finalize(storage, self._add, -storage.nbytes())

    def _add(self, number: int) -> None:
        self.now += number
        self.most = max(self.most, self.now)
