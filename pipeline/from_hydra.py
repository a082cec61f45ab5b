"""From the tree that Hydra composed to a checked configuration: a wrong key or value is an error that names it."""

import json
import math
from dataclasses import fields, is_dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config import (
    DataConfig,
    EvalConfig,
    Execution,
    Job,
    ModelConfig,
    RunConfig,
    SiteConfig,
    TrackerConfig,
    TrainConfig,
)
from pipeline.errors import UserError
from pipeline.places import BASE, PACKAGE

T = TypeVar("T")
N = TypeVar("N", int, float)

OmegaConf.register_new_resolver("package", lambda path: str(PACKAGE / path), replace=True)
OmegaConf.register_new_resolver("base", lambda path: str(BASE / path), replace=True)

SECTIONS: dict[str, type] = {
    "model": ModelConfig, "site": SiteConfig, "data": DataConfig, "train": TrainConfig, "eval": EvalConfig,
}  # fmt: skip


def from_hydra(cfg: DictConfig) -> Job:
    """Check the composed configuration and turn it into dataclasses.

    Raises:
        UserError: a key is unknown or missing, a value has the wrong type, or settings exclude each other.
    """
    from pipeline.sae.registry import config_class  # imports torch: not at the command line's start

    parts: dict[str, Any] = {key: typed(cfg[key], schema, key) for key, schema in SECTIONS.items()}
    architecture: Any = typed(cfg.architecture, config_class(cfg.architecture.name), "architecture")
    run = RunConfig(
        **parts, architecture=architecture, layer=_number(cfg, "layer", int),
        sparsity_coefficient=_number(cfg, "sparsity_coefficient", float), seed=_number(cfg, "seed", int),
    )  # fmt: skip
    check(run)
    execution = typed(cfg.execution, Execution, "execution")
    return Job(run, execution, typed(cfg.tracker, TrackerConfig, "tracker"), str(cfg.sweep_name))


def typed(node: DictConfig, schema: type[T], section: str) -> T:
    """The node as an instance of a dataclass, checked key by key; runs with the same section share it."""
    kind: Any = schema
    try:
        checked: T = _checked(json.dumps(OmegaConf.to_container(node, resolve=True)), kind, section)
        return checked
    except OmegaConfBaseException as error:
        raise UserError(_one_line(error, section, schema)) from error


@lru_cache(maxsize=1024)
def _checked(text: str, schema: Any, section: str) -> Any:
    given: Any = json.loads(text)
    merged = OmegaConf.merge(_writable(schema, given), given)
    missing = OmegaConf.missing_keys(OmegaConf.create(given)) | OmegaConf.missing_keys(merged)
    if missing:
        key = min(missing).removeprefix(f"{section}.")
        raise UserError(f"{section}.{key} has no value: give it on the command line or in conf/")
    return OmegaConf.to_object(merged)


def _writable(schema: Any, given: dict[str, Any]) -> DictConfig:
    """The schema as OmegaConf's; it takes frozen dataclasses for read-only nodes, which could not be merged into."""
    structured: DictConfig = OmegaConf.structured(schema)
    OmegaConf.set_readonly(structured, False)
    for key, hint in get_type_hints(schema).items():
        nested = next((kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)), None)
        if nested is not None and isinstance(given.get(key), dict):
            structured[key] = _writable(nested, given[key])
            OmegaConf.set_readonly(structured[key], False)
    return structured


def _one_line(error: OmegaConfBaseException, section: str, schema: type) -> str:
    key = f"{section}.{error.full_key}" if error.full_key else section
    accepted = ", ".join(f.name for f in fields(schema))
    what = str(error).splitlines()[0]
    if "is not a ListConfig" in what:
        what = "it takes a list, as [1,2]"
    return f"{key}: {what} (keys of {section}: {accepted})"


def _number(cfg: DictConfig, key: str, kind: type[N]) -> N:
    value = cfg[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and not isinstance(value, int)):
        raise UserError(f"{key}={value!r} is not {'a whole number' if kind is int else 'a number'}")
    return kind(value)


def _one_of(key: str, value: Any, accepted: tuple[Any, ...]) -> None:
    if value not in accepted:
        raise UserError(f"{key}={value} is unknown; accepted: {', '.join(map(str, accepted))}")


def check(run: RunConfig) -> None:
    """What types cannot say. The model's own limits (layers, hooks) are checked in `pipeline.sites`."""
    train = run.train
    _one_of("train.input_scale", train.input_scale, ("sqrt_d_in", "none"))
    _one_of("train.precision", train.precision, ("float32", "bfloat16"))
    _one_of("train.b_dec_init", train.b_dec_init, ("mean", "zero"))
    _one_of("data.packing", run.data.packing, ("document", "concatenate"))
    _one_of("data.source", run.data.source, ("bundled", "files", "hub"))
    _one_of("model.dtype", run.model.dtype, ("float32", "bfloat16", "float16"))
    if run.data.source == "hub" and run.data.revision is None:
        raise UserError("data.revision has no value: a streamed dataset must be pinned to a commit of its repository")
    at_least_one = {
        "train.steps": train.steps, "train.batch": train.batch, "train.lm_batch": train.lm_batch,
        "train.calibration": train.calibration, "eval.sequences": run.eval.sequences, "eval.batch": run.eval.batch,
    }  # fmt: skip
    for key, value in at_least_one.items():
        if value < 1:
            raise UserError(f"{key}={value} must be at least 1")
    if train.lr <= 0 or train.encoder_norm <= 0 or run.sparsity_coefficient < 0:
        raise UserError("train.lr and train.encoder_norm must be above 0, sparsity_coefficient at least 0")
    if not 0 <= train.data_directions < 1:
        raise UserError(f"train.data_directions={train.data_directions} must be at least 0 and below 1")
    if train.block < train.batch:
        raise UserError(f"train.block={train.block} is smaller than train.batch={train.batch}: a block holds batches")
    if run.model.context < 3:
        raise UserError(f"model.context={run.model.context} is too short: BOS, one token and one to predict are three")
    if run.eval.sequences % run.eval.batch:
        raise UserError(f"eval.sequences={run.eval.sequences} is no multiple of eval.batch={run.eval.batch}")
    below = [0.0, *run.eval.prune_below]
    if not all(first < second < math.inf for first, second in pairwise(below)):
        raise UserError(f"eval.prune_below={below[1:]} must hold numbers above 0, from small to large")
