"""From the tree that Hydra composed to a checked configuration: a wrong key or value is an error that names it."""

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from itertools import pairwise
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.accepted import LONGEST_COMPONENT, Name
from pipeline.config.checked import NO_VALUE, checked, has_default, refuse_unknown, show, type_hints
from pipeline.config.data import check_text_settings
from pipeline.config.launcher import LAUNCHERS, Options
from pipeline.config.schema import DataConfig, EvalConfig, Job, ModelConfig, RunConfig, TrainConfig
from pipeline.errors import UserError
from pipeline.storage.places import BASE, PACKAGE

OmegaConf.register_new_resolver("package", lambda path: str(PACKAGE / path), replace=True)
OmegaConf.register_new_resolver("base", lambda path: str(BASE / path), replace=True)

LONGEST_SLUG = LONGEST_COMPONENT - 55
"""What a run's folder adds: a hyphen and a hash, and the name under which it is deleted."""


def top_level() -> dict[str, Any]:
    """Type hints of everything that Hydra composes: sections and the keys above them, the architecture last.

    Which sections' keys the architecture has, only its registered class knows: its hint is Any.
    """
    hints = {**type_hints(RunConfig), **type_hints(Job)}
    del hints["run"]
    hints["architecture"] = hints.pop("architecture")
    return hints


def from_hydra(cfg: DictConfig) -> Job:
    """The composed configuration, checked.

    Raises:
        UserError: a key is unknown or missing, a value is not accepted, or settings exclude each other.
    """
    try:
        tree: Any = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key or 'the configuration'}: {str(error).splitlines()[0]}") from error
    return checked_job(tree)


def checked_job(tree: Mapping[str, Any]) -> Job:
    """As `from_hydra`, of plain dictionaries, lists and values: what a pack's file holds."""
    hints = top_level()
    refuse_unknown(tree, hints)
    optional = {field.name for field in fields(Job) if has_default(field)}
    values = {key: _value(tree, key, hint) for key, hint in hints.items() if key in tree or key not in optional}
    run = RunConfig(**{field.name: values.pop(field.name) for field in fields(RunConfig)})
    check(run)
    return Job(run, **values)


def launcher_options(launcher: Any) -> Options | None:
    """What `hydra.launcher` holds, checked; None for a launcher that is not ours."""
    if not isinstance(launcher, DictConfig):
        raise UserError(f"hydra.launcher={show(launcher)} is not a section; hydra/launcher=NAME chooses one")
    given: Any = OmegaConf.to_container(launcher, resolve=True)
    kind = LAUNCHERS.get(given.pop("_target_").rpartition(".")[2])
    return checked(given, kind, "hydra.launcher") if kind else None


def _value(tree: Mapping[str, Any], key: str, hint: Any) -> Any:
    value = tree.get(key, NO_VALUE)
    if key == "architecture":
        return architecture(value)
    return _shared(value, hint, key) if isinstance(value, dict) else checked(value, hint, key)


def _shared(section: dict[str, Any], hint: Any, key: str) -> Any:
    """The section, checked; runs with the same one share it."""
    try:
        text = json.dumps(section)
    except (TypeError, ValueError):  # a number of thousands of digits, a key that is no text: an error will name it
        return checked(section, hint, key)
    return _read(text, hint, key)


@lru_cache(maxsize=1024)
def _read(text: str, hint: Any, key: str) -> Any:
    return checked(json.loads(text), hint, key)


def architecture(value: Any) -> Any:
    """The section as the dataclass that `architecture.name` registered."""
    if not isinstance(value, dict):
        raise UserError(f"architecture={show(value)} is not a section; expected its name and its keys")
    name = checked(value.get("name", NO_VALUE), Name, "architecture.name")
    from pipeline.sae.registry import config_class  # imports torch: not before everything else is right

    return _shared(value, config_class(name), "architecture")


def check(run: RunConfig) -> None:
    """What one field's type cannot say. `pipeline.language_model.sites` checks the model's limits (layers, hooks)."""
    _check_model(run.model)
    _check_data(run.data)
    _check_training(run.train)
    _check_evaluation(run.eval, run.data)
    if len(run.slug) > LONGEST_SLUG:
        raise UserError(
            f"model.name={run.model.name}, site.name={run.site.name} and architecture.name={run.architecture.name} are "
            f"too long together: the run would be named by {len(run.slug)} characters; accepted: {LONGEST_SLUG}"
        )


def _check_model(model: ModelConfig) -> None:
    if model.path is None and model.hub_id is None:
        raise UserError("model.path has no value: give a folder, or model.hub_id for a model of the hub")
    of_hub = [name for name in ("hub_id", "revision", "legacy") if model.path is not None and getattr(model, name)]
    if of_hub:
        name = of_hub[0]
        raise UserError(
            f"model.{name}={getattr(model, name)} is for a hub model, but model.path is local: leave one out"
        )


def _check_data(data: DataConfig) -> None:
    needed = {"bundled": (), "files": ("path",), "hub": ("dataset", "revision"), "python": ("path",)}[data.source]
    for name in needed:
        if getattr(data, name) is None:
            why = ": a streamed dataset must be pinned to a commit of its repository" if name == "revision" else ""
            raise UserError(f"data.{name} has no value, which data.source={data.source} needs{why}")
    check_text_settings(data)


def _check_training(train: TrainConfig) -> None:
    if train.block < train.batch:
        raise UserError(
            f"train.block={train.block} is smaller than train.batch={train.batch}: a block holds at least one batch"
        )
    if train.lr_decay > train.steps:
        raise UserError(
            f"train.lr_decay={train.lr_decay} is longer than the training: expected at most train.steps={train.steps}"
        )
    if train.lr_decay and train.lr_warmup + train.lr_decay > train.steps:
        raise UserError(
            f"train.lr_warmup={train.lr_warmup} and train.lr_decay={train.lr_decay} are together longer than the "
            f"training: expected at most train.steps={train.steps}"
        )
    resample = train.resample
    late = [step for step in resample.steps if step >= train.steps]
    if late:
        raise UserError(
            f"train.resample.steps={list(resample.steps)}: {late[0]} is not below train.steps={train.steps}"
        )
    if resample.steps and resample.inputs > train.calibration:
        raise UserError(f"train.resample.inputs={resample.inputs} is more than train.calibration={train.calibration}")


def _check_evaluation(evaluation: EvalConfig, data: DataConfig) -> None:
    if evaluation.split == "validation" and data.source != "bundled" and not data.validation_fraction:
        raise UserError(
            "eval.split=validation, but data.validation_fraction=0 leaves no validation text: expected a fraction of "
            "the held-out documents, as data.validation_fraction=0.5"
        )
    if evaluation.sequences % evaluation.batch:
        raise UserError(
            f"eval.sequences={evaluation.sequences} is not a multiple of eval.batch={evaluation.batch}; "
            f"{_near(evaluation.sequences, evaluation.batch)} would be"
        )
    if not all(first < second for first, second in pairwise(evaluation.prune_below)):
        raise UserError(
            f"eval.prune_below={list(evaluation.prune_below)} must rise from small to large, each threshold once"
        )


def _near(count: int, batch: int) -> int:
    """The multiple of `batch` next below `count`, or the first."""
    return max(count // batch, 1) * batch
