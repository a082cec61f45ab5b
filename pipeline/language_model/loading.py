"""Loads a language model, and checks that it is the one that was named."""

import copy
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.config.model_shape import model_shape, read_model_config, shape_of_config
from pipeline.config.schema import ModelConfig
from pipeline.errors import UserError
from pipeline.language_model.folder import check_model, few
from pipeline.language_model.model import LanguageModel
from pipeline.runtime.device import is_out_of_memory
from pipeline.runtime.hub import hub_or_cache, no_hub, quiet, shown
from pipeline.storage.places import PACKAGE
from pipeline.tokens.contexts import load_tokenizer

NO_WEIGHTS = re.compile(r"(attn|attention)\.(masked_)?bias$|rotary_emb\.inv_freq$")
"""Constants in checkpoints of older versions of transformers: masks and rotary frequencies."""

SAME = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference between two computations of the same logits, relative to the spread of the logits."""

CHECKED = 32
"""Length of the context on which a loaded model is checked, in tokens."""


def load_language_model(model: ModelConfig, device: torch.device, stop: threading.Event | None = None) -> LanguageModel:
    """Load a model without folding its norms: loss recovered needs the model as it is.

    Args:
        stop: when it is set, every forward raises Interrupted.

    Raises:
        UserError: it cannot be loaded, its checkpoint lacks tensors or holds others, it is no causal language model, or
            TransformerLens computes other logits than transformers does.
    """
    from transformer_lens.model_bridge import TransformerBridge  # takes seconds to import

    check_model(model)
    dtype, source = getattr(torch, model.dtype), str(model.path or model.hub_id)
    loader = Loader(model, device)
    quiet()
    with nullcontext(True) if model.path else hub_or_cache() as reached, _one_line(model, source, loader, reached):
        if model.legacy:
            bridge = TransformerBridge.boot_tl_legacy(source, device=device, dtype=dtype)
        else:
            revision, tokenizer = None if model.path else model.revision, load_tokenizer(model)
            bridge = TransformerBridge.boot_transformers(
                source, device=device, dtype=dtype, revision=revision, tokenizer=tokenizer, model_class=loader
            )
    bridge.eval()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    _check_shape(bridge, model, loader)
    _keep_no_patterns(bridge)
    with _one_line(model, source, loader):
        _check_logits(bridge, model, loader)
    return LanguageModel(bridge, device, stop)


@lru_cache(maxsize=64)
def check_tensors(model: ModelConfig) -> None:
    """Refuse a local model whose settings, tokenizer and tensors do not match; reads shapes, no weights.

    Takes seconds: transformers is imported. The bundled model and models on the hub pass.

    Raises:
        UserError: loading it would fail, as far as that shows without weights.
    """
    if model.path is None or model.legacy or Path(model.path).resolve().is_relative_to(PACKAGE):
        return
    from transformers import AutoConfig

    quiet()
    loader = Loader(model, torch.device("meta"))
    with _one_line(model, model.path, loader):  # the settings first: a tokenizer is loaded by them
        AutoConfig.from_pretrained(model.path, trust_remote_code=False)
    load_tokenizer(model)
    with _one_line(model, model.path, loader):
        loader._loaded(model.path, {"device_map": "meta", "dtype": getattr(torch, model.dtype)})


class Loader:
    """In place of transformers' AutoModelForCausalLM: refuses a checkpoint that does not fill the model.

    Keeps the class's name, its settings, and its logits before TransformerLens changes it.
    """

    def __init__(self, model: ModelConfig, device: torch.device) -> None:
        self.model, self.device = model, device
        self.name = "a causal language model"
        self.config: dict[str, Any] = {}
        self.logits: Tensor | None = None

    def from_pretrained(self, source: str, attn_implementation: str, config: Any, **settings: Any) -> Any:
        """Load it. `logits` are from transformers' default attention: the other is wrong for Falcon with ALiBi."""
        plain = copy.deepcopy(config)
        plain._attn_implementation, plain.output_attentions = None, False  # TransformerLens sets both
        loaded = self._loaded(source, settings | {"config": plain})
        with torch.no_grad():
            self.logits = loaded(_tokens(self.model, plain, self.device), use_cache=False).logits
        loaded.set_attn_implementation(attn_implementation)
        if loaded.config._attn_implementation != attn_implementation:  # some classes choose it when they are built
            loaded = self._loaded(source, settings | {"config": plain, "attn_implementation": attn_implementation})
        loaded.config.output_attentions = config.output_attentions
        return loaded

    def _loaded(self, source: str, settings: dict[str, Any]) -> Any:
        from transformers import AutoModelForCausalLM

        loaded, info = AutoModelForCausalLM.from_pretrained(
            source, **settings, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
        )
        self.name, self.config = type(loaded).__name__, loaded.config.to_dict()
        self._check_tensors(info)
        return loaded.to(self.device).eval()

    def _check_tensors(self, info: Mapping[str, Any]) -> None:
        mismatched = [str(found[0]) for found in info["mismatched_keys"]]
        tensors = {
            "missing": info["missing_keys"],
            "unexpected": [name for name in info["unexpected_keys"] if not NO_WEIGHTS.search(name)],
            "of another shape": mismatched,
        }
        wrong = [f"{len(names)} {what} ({few(names)})" for what, names in tensors.items() if names]
        if wrong:
            raise UserError(
                f"model {self.model.name} is not what its config.json says, a {self.name}: of the checkpoint's tensors "
                f"{'; '.join(wrong)}"
            )


@contextmanager
def _one_line(model: ModelConfig, source: str, loader: Loader, reached: bool = True) -> Iterator[None]:
    """Within, an error of the libraries is about the model, and becomes a UserError of one line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or is_out_of_memory(error):
            raise
        if isinstance(error, OSError) and not reached:
            raise UserError(no_hub(source)) from error
        reason = _unknown_setting(model, error) or shown(error)
        raise UserError(f"model {model.name} cannot be loaded from {source} as {loader.name}: {reason}") from error


def _unknown_setting(model: ModelConfig, error: Exception) -> str | None:
    """The setting of config.json whose value transformers does not know; its own error shows the value alone."""
    value = error.args[0] if isinstance(error, KeyError) and error.args else getattr(error, "name", None)
    if model.path is None or not isinstance(value, str):
        return None
    settings = read_model_config(Path(model.path))
    parts = [settings, *(part for part in settings.values() if isinstance(part, dict))]
    names = [name for part in parts for name, stated in part.items() if stated == value]
    return f"config.json's {names[0]}={value} is unknown to transformers" if names else None


def _tokens(model: ModelConfig, config: Any, device: torch.device) -> Int[Tensor, "1 pos"]:
    """One context of arbitrary tokens, spread over the vocabulary."""
    vocabulary = int(config.get_text_config().vocab_size)
    length = min(model.context, CHECKED)
    return (torch.arange(1, length + 1, device=device)[None] * 7919) % vocabulary


def _spread(logits: Float[Tensor, "1 pos vocab"]) -> float:
    return float((logits - logits.mean(-1, keepdim=True)).float().norm())


@torch.no_grad()
def _check_logits(bridge: Any, model: ModelConfig, loader: Loader) -> None:
    """Check that the bridge's logits are the model's own, and that no prediction depends on a later token."""
    if loader.logits is None:
        return  # TransformerLens' own model is the bridge
    tokens = _tokens(model, bridge.original_model.config, loader.device)
    found = bridge(tokens, return_type="logits")
    if not bool(found.isfinite().all()):
        raise UserError(f"model {model.name} in {model.dtype} gives logits that are not finite")
    same = SAME[model.dtype] * _spread(loader.logits)
    apart = float((found - loader.logits).float().norm())
    if apart > same:
        raise UserError(
            f"model {model.name} is not supported: TransformerLens computes other logits than transformers for "
            f"{loader.name} (apart by {apart / _spread(loader.logits):.2g} of their spread)"
        )
    if tokens.shape[1] > 1:
        changed = tokens.clone()
        changed[0, -1] = (changed[0, -1] + 1) % loader.logits.shape[-1]
        earlier = (bridge(changed, return_type="logits") - found)[:, :-1]
        if float(earlier.float().norm()) > same:
            raise UserError(
                f"model {model.name} is no causal language model: the predictions of {loader.name} follow from later "
                "tokens"
            )


def _keep_no_patterns(bridge: Any) -> None:
    """Drop the last attention pattern [batch, heads, pos, pos], which TransformerLens keeps in every layer."""
    for module in bridge.modules():
        if hasattr(module, "_pattern"):
            module.register_forward_hook(lambda module, *_: setattr(module, "_pattern", None))


def _check_shape(bridge: Any, model: ModelConfig, loader: Loader) -> None:
    """Check that widths and costs were computed from the shape of the loaded model."""
    expected, config = model_shape(model), bridge.cfg
    loaded = shape_of_config(loader.config) if loader.config else config
    for part in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp"):
        stated, found = getattr(expected, part), getattr(loaded, part)
        if stated != found:
            raise UserError(f"model.shape.{part}={stated}, but {model.name} as loaded has {found}")
    positions = loaded.positions if loader.config else config.n_ctx
    if positions is not None and model.context > positions:
        raise UserError(f"model.context={model.context} is longer than model {model.name} reads: at most {positions}")
