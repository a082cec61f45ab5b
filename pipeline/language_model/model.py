"""The language model, read through TransformerLens: activations at hooks, and cross-entropy with a site replaced."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from pipeline.errors import Interrupted
from pipeline.runtime.device import to_device

Hook = Callable[..., Tensor | None]


@dataclass(frozen=True)
class Prefix:
    """One clean pass over a batch up to its sites."""

    tokens: Int[Tensor, "batch pos"]
    activations: dict[str, Float[Tensor, "batch pos d_in"]]  # by hook, heads concatenated, float32
    outputs: dict[str, Any]  # of the modules that spliced passes skip


@dataclass(frozen=True)
class Entry:
    """Where a spliced pass enters the model, so that nothing before its site is computed again."""

    skipped: tuple[str, ...]  # modules before the site
    clean: tuple[str, ...]  # those of them whose output later modules read
    site: str | None  # the module whose output depends on the activations alone; None: a hook replaces them
    through: str | None  # its last submodule, where the site is the input of that one, and not the output

    def by_hook(self) -> "Entry":
        """As this one, but the whole block runs again."""
        blocks = tuple(name for name in self.skipped if name.count(".") == 1)
        return Entry(blocks, blocks[-1:], None, None)


class LanguageModel:
    """A frozen model. `forwards` counts its forward calls: a test of what the runs of a pack share.

    Args:
        stop: when it is set, the next forward does not begin.

    Raises (from every call):
        Interrupted: `stop` is set.
    """

    def __init__(self, bridge: Any, device: torch.device, stop: threading.Event | None = None) -> None:
        self.bridge, self.device, self.stop = bridge, device, stop
        self.forwards = 0
        self.entries: dict[str, Entry] = {}

    def activations(
        self, tokens: Int[Tensor, "batch pos"], hook_names: Sequence[str]
    ) -> dict[str, Float[Tensor, "batch pos d_in"]]:
        """Activations at each hook, heads concatenated; the forward stops as soon as it has them all."""
        return self._read(tokens, hook_names, set()).activations

    def prefix(self, tokens: Int[Tensor, "batch pos"], hook_names: Sequence[str]) -> Prefix:
        """A clean pass up to the hooks, kept so that spliced passes can start there."""
        entries = {name: self.entries.get(name) or self._shortest_entry(name) for name in hook_names}
        kept = {name for entry in entries.values() for name in entry.clean}
        prefix = self._read(tokens, hook_names, kept | {entry.site for entry in entries.values() if entry.site})
        for name, entry in entries.items():
            if name not in self.entries:
                self.entries[name] = entry if self._reproduces(prefix, name, entry) else entry.by_hook()
        return prefix

    @torch.no_grad()
    def _read(self, tokens: Int[Tensor, "batch pos"], hook_names: Sequence[str], modules: set[str]) -> Prefix:
        """Activations at hooks and outputs of modules; the forward stops as soon as it has them all."""
        from transformer_lens.model_bridge.exceptions import StopAtLayerException

        found = Prefix(tokens, {}, {})

        def stop(activation: Any, hook: Any = None) -> None:  # stop_at_layer would run the unembedding too
            if len(found.activations) == len(hook_names) and len(found.outputs) == len(modules):
                raise StopAtLayerException(activation)

        def keep_output(name: str, output: Any) -> None:
            found.outputs[name] = output
            stop(output)

        handles = [
            self.bridge.get_submodule(name).register_forward_hook(
                lambda _m, _i, output, name=name: keep_output(name, output)
            )
            for name in modules
        ]
        hooks = [(name, _keep(found.activations, name)) for name in hook_names]
        try:
            self._forward(tokens, [*hooks, *((name, stop) for name in hook_names)])
        finally:
            for handle in handles:
                handle.remove()
        return found

    @torch.no_grad()
    def spliced(
        self,
        prefix: Prefix,
        hook_name: str,
        replacement: Float[Tensor, "batch pos d_in"],
        where: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "batch predictions"]:
        """Cross-entropy, in nats, of every prediction when activations at a hook are replaced at some positions.

        Modules before the site, which splicing does not change, do not run again.
        """
        entry, clean = self.entries[hook_name], prefix.activations[hook_name]
        spliced = torch.where(where[..., None], replacement, clean)
        outputs = {name: prefix.outputs.get(name) for name in entry.skipped}
        hooks: list[tuple[str, Hook]] = []
        if entry.site is None:
            hooks = [(hook_name, lambda activation, hook: spliced.reshape(activation.shape).to(activation.dtype))]
        else:
            outputs[entry.site] = _with_first(prefix.outputs[entry.site], self._output(entry, spliced))
        with _skipping({self.bridge.get_submodule(name): output for name, output in outputs.items()}):
            return cross_entropy(self._forward(prefix.tokens, hooks), prefix.tokens)

    def _output(self, entry: Entry, activations: Float[Tensor, "batch pos d_in"]) -> Tensor:
        """The output of the site's module for these activations."""
        given = activations.to(self.bridge.cfg.dtype)
        return self.bridge.get_submodule(entry.through)(given) if entry.through else given

    @torch.no_grad()
    def _reproduces(self, prefix: Prefix, hook_name: str, entry: Entry) -> bool:
        """Whether the site's module does nothing more: BLOOM's adds the residual stream, OPT's is never called."""
        if entry.site is None:
            return True
        output = prefix.outputs.get(entry.site)
        first = output[0] if isinstance(output, tuple) else output
        if not isinstance(first, Tensor):
            return False
        computed = self._output(entry, prefix.activations[hook_name])
        return computed.shape == first.shape and bool((computed - first).norm() <= 0.01 * first.norm())

    def _shortest_entry(self, hook_name: str) -> Entry:
        found = re.match(r"blocks\.(\d+)\.", hook_name)
        assert found is not None, f"{hook_name} lies in no block"
        index, point = int(found.group(1)), self.bridge.hook_dict[hook_name]
        before, block = tuple(f"blocks.{i}" for i in range(index)), f"blocks.{index}"
        attention = f"{block}.attn"
        sites = (
            (block, None, ()), (attention, None, ()), (attention, "o", ()),
            (f"{block}.mlp", None, (attention,)), (f"{block}.mlp", "out", (attention,)),
        )  # fmt: skip
        for site, part, siblings in sites:
            through = f"{site}.{part}" if part else None
            module = self.module(through or site)
            if module is not None and point is (module.hook_in if through else module.hook_out):
                return Entry(before + siblings, before[-1:] + siblings, site, through)
        return Entry(before, before[-1:], None, None)

    def module(self, name: str) -> Any:
        """The module of this name; None where the model has none."""
        try:
            return self.bridge.get_submodule(name)
        except AttributeError:
            return None

    def _forward(self, tokens: Tensor, hooks: list[tuple[str, Hook]]) -> Tensor:
        if self.stop is not None and self.stop.is_set():
            raise Interrupted
        self.forwards += 1
        output: Tensor = self.bridge.run_with_hooks(
            to_device(tokens, self.device), fwd_hooks=hooks, return_type="logits"
        )
        return output


def _keep(cache: dict[str, Tensor], name: str) -> Hook:
    def keep(activation: Tensor, hook: Any) -> None:
        cache[name] = activation.detach().flatten(2).float()

    return keep


def _with_first(output: Any, first: Tensor) -> Any:
    """A module's output, a tensor or a tuple that begins with one, with that tensor replaced."""
    return (first, *output[1:]) if isinstance(output, tuple) else first


@contextmanager
def _skipping(outputs: Mapping[Any, Any]) -> Iterator[None]:
    """Within, each of these modules returns its output without computing it."""
    for module, output in outputs.items():
        module.__dict__["forward"] = lambda *_, output=output, **__: output
    try:
        yield
    finally:
        for module in outputs:
            del module.__dict__["forward"]


def cross_entropy(
    logits: Float[Tensor, "batch pos vocab"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch predictions"]:
    """Nats of each of the pos - 1 predictions; one sequence at a time, whose logits fit in the cache."""
    targets = tokens[:, 1:].to(logits.device)
    losses = [
        functional.cross_entropy(sequence[:-1].float(), target, reduction="none")
        for sequence, target in zip(logits, targets, strict=True)
    ]
    return torch.stack(losses)
