"""The language model, read through TransformerLens: activations at hooks, and cross-entropy with a site replaced."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from pipeline.config import ModelConfig
from pipeline.errors import Interrupted, UserError
from pipeline.sites import model_shape

Hook = Callable[..., Tensor | None]


@dataclass(frozen=True)
class Prefix:
    """One clean pass over a batch as far as its sites."""

    tokens: Int[Tensor, "batch pos"]
    activations: dict[str, Float[Tensor, "batch pos d_in"]]  # by hook, heads concatenated, float32
    outputs: dict[int, Any]  # of the last block before each hook, as the model's blocks hand them on


class LanguageModel:
    """A frozen model. `forwards` counts its forward calls: what a pack shares is tested by it.

    Raises (from every call):
        Interrupted: `stop` is set; whoever fills a block or evaluates is told between two forwards.
    """

    def __init__(self, bridge: Any, device: torch.device) -> None:
        self.bridge = bridge
        self.device = device
        self.forwards = 0
        self.stop = threading.Event()

    def activations(
        self, tokens: Int[Tensor, "batch pos"], hook_names: Sequence[str]
    ) -> dict[str, Float[Tensor, "batch pos d_in"]]:
        """Activations at each hook, heads concatenated; the forward stops as soon as it has them all."""
        return self._read(tokens, hook_names, set()).activations

    def prefix(self, tokens: Int[Tensor, "batch pos"], hook_names: Sequence[str]) -> Prefix:
        """A clean pass as far as the hooks, kept so that spliced passes can start at them."""
        return self._read(tokens, hook_names, {_blocks_before(name) - 1 for name in hook_names} - {-1})

    @torch.no_grad()
    def _read(self, tokens: Int[Tensor, "batch pos"], hook_names: Sequence[str], blocks: set[int]) -> Prefix:
        """Activations at hooks and outputs of blocks; the forward stops as soon as it has them all."""
        from transformer_lens.model_bridge.exceptions import StopAtLayerException

        found = Prefix(tokens, {}, {})

        def stop(activation: Any, hook: Any = None) -> None:  # stop_at_layer would run the unembedding too
            if len(found.activations) == len(hook_names) and len(found.outputs) == len(blocks):
                raise StopAtLayerException(activation)

        def keep_output(index: int, output: Any) -> None:
            found.outputs[index] = output
            stop(output)

        handles = [
            self.bridge.blocks[index].register_forward_hook(
                lambda _m, _i, output, index=index: keep_output(index, output)
            )
            for index in blocks
        ]
        hooks = [(name, _keep(found.activations, name)) for name in hook_names]
        try:
            self._forward(tokens, [*hooks, *((name, stop) for name in hook_names)])
        finally:
            for handle in handles:
                handle.remove()
        return found

    @torch.no_grad()
    def clean(
        self, tokens: Int[Tensor, "batch pos"], hook_names: Sequence[str]
    ) -> tuple[Float[Tensor, "batch predictions"], dict[str, Float[Tensor, "batch pos d_in"]]]:
        """Cross-entropy of every prediction (position t predicts t + 1) and the activations it passed through."""
        cache: dict[str, Tensor] = {}
        logits = self._forward(tokens, [(name, _keep(cache, name)) for name in hook_names])
        return cross_entropy(logits, tokens), cache

    @torch.no_grad()
    def spliced(
        self,
        prefix: Prefix,
        hook_name: str,
        replacement: Float[Tensor, "batch pos d_in"],
        where: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "batch predictions"]:
        """Cross-entropy of every prediction when the activations at a hook are replaced at some positions.

        The blocks before the site, which splicing does not change, are not run again.
        """

        def splice(activation: Tensor, hook: Any) -> Tensor:  # TransformerLens passes hook by name
            mask = where.reshape(*where.shape, *[1] * (activation.ndim - 2))
            return torch.where(mask, replacement.reshape(activation.shape).to(activation.dtype), activation)

        before = _blocks_before(hook_name)
        hooks: list[tuple[str, Hook]] = [(hook_name, splice)]
        output = prefix.outputs.get(before - 1)
        if _ends_block(hook_name):  # the hook lies in a block that is skipped: its output is what is replaced
            hooks, output = [], _spliced_output(output, splice)
        with _skipping([self.bridge.blocks[index] for index in range(before)], output):
            return cross_entropy(self._forward(prefix.tokens, hooks), prefix.tokens)

    def _forward(self, tokens: Tensor, hooks: list[tuple[str, Hook]]) -> Tensor:
        if self.stop.is_set():
            raise Interrupted
        self.forwards += 1
        output: Tensor = self.bridge.run_with_hooks(tokens.to(self.device), fwd_hooks=hooks, return_type="logits")
        return output


def _keep(cache: dict[str, Tensor], name: str) -> Hook:
    def keep(activation: Tensor, hook: Any) -> None:
        cache[name] = activation.detach().flatten(2).float()

    return keep


def _blocks_before(hook_name: str) -> int:
    """How many blocks have all their work done before a hook: a spliced pass skips them."""
    found = re.match(r"blocks\.(\d+)\.", hook_name)
    assert found is not None, f"{hook_name} lies in no block"
    return int(found.group(1)) + _ends_block(hook_name)


def _ends_block(hook_name: str) -> bool:
    return hook_name.endswith("hook_resid_post")


def _spliced_output(output: Any, splice: Callable[[Tensor, Any], Tensor]) -> Any:
    """A block's output, a tensor or a tuple that begins with it, with the tensor replaced."""
    return (splice(output[0], None), *output[1:]) if isinstance(output, tuple) else splice(output, None)


@contextmanager
def _skipping(blocks: Sequence[Any], output: Any) -> Iterator[None]:
    """Within, each of these blocks gives `output` at once: the next block that runs reads what the last one gave."""
    for block in blocks:
        block.__dict__["forward"] = lambda *_, **__: output
    try:
        yield
    finally:
        for block in blocks:
            del block.__dict__["forward"]


def cross_entropy(
    logits: Float[Tensor, "batch pos vocab"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch predictions"]:
    """Nats of each of the pos - 1 predictions; one sequence at a time, whose logits stay in the cache."""
    targets = tokens[:, 1:].to(logits.device)
    losses = [
        functional.cross_entropy(sequence[:-1].float(), target, reduction="none")
        for sequence, target in zip(logits, targets, strict=True)
    ]
    return torch.stack(losses)


def load_language_model(model: ModelConfig, device: torch.device) -> LanguageModel:
    """Boot a model without folding its norms: loss recovered needs the model as it is."""
    from transformer_lens.model_bridge import TransformerBridge  # takes seconds to import

    dtype, source = getattr(torch, model.dtype), str(model.path or model.hub_id)
    try:
        if model.legacy:
            bridge = TransformerBridge.boot_tl_legacy(source, device=device, dtype=dtype)
        else:
            revision = None if model.path else model.revision
            bridge = TransformerBridge.boot_transformers(source, device=device, dtype=dtype, revision=revision)
    except (OSError, ValueError) as error:
        raise UserError(f"model {model.name} cannot be loaded from {source}: {str(error).splitlines()[0]}") from error
    bridge.eval()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    _check_shape(bridge, model)
    return LanguageModel(bridge, device)


def _check_shape(bridge: Any, model: ModelConfig) -> None:
    expected = model_shape(model)
    for part in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp"):
        stated, loaded = getattr(expected, part), getattr(bridge.cfg, part)
        if stated != loaded:
            raise UserError(f"model.shape.{part}={stated}, but {model.name} as loaded has {loaded}")
