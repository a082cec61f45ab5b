"""Checks that the sites of a loaded model are what their names say, so that splicing there is meaningful."""

import re
from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.errors import UserError
from pipeline.language_model.model import LanguageModel, cross_entropy

INPUT_OF = {"attn.hook_z": "attn.o", "mlp.hook_post": "mlp.out"}
"""Sites that are, by their names, what a projection of the block reads: before W_O, the neurons."""

TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Nats by which a prediction may move when a site's own activations are put back."""


def check_sites(
    language_model: LanguageModel, name: str, tokens: Int[Tensor, "batch pos"], widths: Mapping[str, int]
) -> None:
    """Read each site on some tokens, put back what was read, and ablate it.

    Args:
        name: of the model, for messages.
        widths: d_in of each hook.

    Raises:
        UserError: this class of models has no such site; it has another width; putting back what was read changes
            predictions, or ablating it does not.
    """
    forwards = language_model.forwards
    try:
        for hook, width in widths.items():
            fault = _fault(language_model, hook) or _fault_in_use(language_model, hook, width, tokens)
            if fault is not None:
                kind = type(language_model.bridge.original_model).__name__
                raise UserError(f"{hook} of model {name} ({kind}) cannot be autoencoded: {fault}")
    finally:
        language_model.forwards = forwards  # these calls are not part of the counted work


def _fault(language_model: LanguageModel, hook: str) -> str | None:
    bridge = language_model.bridge
    if hook not in bridge.hook_dict:
        return "this class of models has no such hook"
    found = re.fullmatch(r"(blocks\.\d+)\.(.+)", hook)
    part = INPUT_OF.get(found.group(2)) if found else None
    if found is None or part is None:
        return None
    module = language_model.module(f"{found.group(1)}.{part}")
    if module is None or bridge.hook_dict[hook] is not module.hook_in:
        return "no single projection reads it (a mixture of experts has one per expert)"
    return None


def _fault_in_use(language_model: LanguageModel, hook: str, width: int, tokens: Int[Tensor, "batch pos"]) -> str | None:
    prefix = language_model.prefix(tokens, [hook])
    read = prefix.activations[hook]
    if read.shape[-1] != width:
        return f"it is {read.shape[-1]} wide, and config.json says {width}"
    where = torch.ones(tokens.shape, dtype=torch.bool, device=language_model.device)
    clean = cross_entropy(language_model._forward(tokens, []), tokens)
    ablated = language_model.spliced(prefix, hook, torch.zeros_like(read), where)
    put_back = language_model.spliced(
        prefix, hook, read, where
    )  # after the other ablation, of which nothing may be left
    apart = float((put_back - clean).abs().max())
    if not apart <= TOLERANCE[language_model.bridge.cfg.dtype]:
        return f"putting back what was read changes a prediction by {apart:.2g} nats"
    if torch.equal(ablated, put_back):
        return "ablating it changes no prediction"
    return None
