"""Hooks of a language model and their widths, from its configuration alone: no weights are read here."""

import difflib
import re

from pipeline.config.model_shape import model_shape
from pipeline.config.schema import RunConfig
from pipeline.errors import UserError

WIDTHS: dict[str, str] = {
    "hook_resid_pre": "d_model",
    "hook_resid_post": "d_model",
    "hook_attn_out": "d_model",
    "hook_mlp_out": "d_model",
    "mlp.hook_post": "d_mlp",
    "attn.hook_z": "heads",
}
"""Each hook of a block that an SAE can be trained at, and what its width is called."""


def d_in(run: RunConfig) -> int:
    """Width of the activations that a run autoencodes; checks that the model has the layer, hook and positions.

    Raises:
        UserError: the layer or the hook does not exist, or the context is too long, in one line.
    """
    shape = model_shape(run.model)
    if shape.positions is not None and run.model.context > shape.positions:
        raise UserError(
            f"model.context={run.model.context} is longer than model {run.model.name} reads: at most {shape.positions}"
        )
    if not 0 <= run.layer < shape.n_layers:
        last = shape.n_layers - 1
        raise UserError(f"layer={run.layer} does not exist: model {run.model.name} has layers 0 to {last}")
    matched = re.fullmatch(r"blocks\.\{layer\}\.(.+)", run.site.hook)
    kind = matched.group(1) if matched else run.site.hook
    if kind not in WIDTHS or matched is None:
        near = difflib.get_close_matches(kind, WIDTHS, n=1, cutoff=0.0)[0]
        accepted = ", ".join(f"blocks.{{layer}}.{name}" for name in WIDTHS)
        raise UserError(
            f"site.hook={run.site.hook} is unknown; did you mean blocks.{{layer}}.{near}? (accepted: {accepted})"
        )
    if WIDTHS[kind] == "heads":
        return shape.n_heads * shape.d_head
    width = int(getattr(shape, WIDTHS[kind]))
    if width == 0:
        raise UserError(f"site={run.site.name} does not exist: model {run.model.name} has no MLP")
    return width


def d_sae(run: RunConfig) -> int:
    """Number of features: architecture.expansion times d_in."""
    width: int = round(run.architecture.expansion * d_in(run))
    if width < 1:
        raise UserError(f"architecture.expansion={run.architecture.expansion} leaves no features at d_in={d_in(run)}")
    return width
