"""The configuration of one run, typed and strict: a wrong key or value is an error that names it.

Hydra composes conf/ into a plain tree; `from_hydra` checks that tree against the dataclasses below and resolves it.
What decides a run's identity is under `RunConfig`; how and where it executes is under `Execution`.
"""

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.errors import UserError

T = TypeVar("T")
N = TypeVar("N", int, float)

REPOSITORY = Path(__file__).resolve().parent.parent
OmegaConf.register_new_resolver("repository", lambda path: str(REPOSITORY / path), replace=True)


@dataclass(frozen=True)
class ModelShape:
    """What hooks and widths follow from; read from config.json when a local folder leaves it out."""

    n_layers: int = MISSING
    d_model: int = MISSING
    n_heads: int = MISSING
    d_head: int = MISSING
    d_mlp: int = MISSING


@dataclass(frozen=True)
class ModelConfig:
    """A language model: a hub repository at a revision, or a local Hugging Face folder."""

    name: str = MISSING
    hub_id: str | None = None
    revision: str | None = None
    path: str | None = None
    tokenizer_id: str | None = None  # where it is not the model's own
    legacy: bool = False  # a TransformerLens checkpoint (.pth) rather than a Hugging Face one
    dtype: str = "float32"
    context: int = MISSING
    layer: int = MISSING  # where `layer` points unless it is given
    shape: ModelShape | None = None


@dataclass(frozen=True)
class SiteConfig:
    """A place in each layer; `hook` holds {layer}."""

    name: str = MISSING
    hook: str = MISSING


@dataclass(frozen=True)
class DataConfig:
    """Text. source: bundled (with the package), files (local text or Parquet), hub (a streamed dataset)."""

    name: str = MISSING
    source: str = MISSING
    path: str | None = None  # files: a file, a folder or a glob
    dataset: str | None = None  # hub: the dataset's id
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    text_column: str = "text"
    packing: str = "document"  # document: a context stays inside one; concatenate: documents are joined by EOS
    evaluation_documents: int = 2000  # hub: the first so many documents are held out
    evaluation_fraction: float = 0.1  # files: the share of documents held out


@dataclass(frozen=True)
class ResampleConfig:
    """Re-initialisation of features that have not fired (appendix D.1.1 of the paper)."""

    steps: list[int] = field(default_factory=list)
    window: int = 1000  # dead: silent for this many steps
    inputs: int = 8192  # calibration activations whose loss decides what dead features become
    encoder_norm: float = 0.2  # of the mean norm of alive encoder columns
    lr_factor: float = 0.1
    lr_warmup: int = 1000


@dataclass(frozen=True)
class TrainConfig:
    """How an SAE is trained; every field is part of the run's identity."""

    steps: int = MISSING
    batch: int = MISSING
    lr: float = MISSING
    lr_warmup: int = 0
    lr_decay: int = 0  # linear to zero over the last so many steps
    sparsity_warmup: int = 0
    beta1: float = 0.0
    beta2: float = 0.999
    epsilon: float = 1e-8
    input_scale: str = "sqrt_d_in"  # E||x||^2 = d_in; or none
    b_dec_init: str = "mean"  # or zero
    tied_init: bool = True  # W_enc starts as the transpose of W_dec
    block: int = 65536  # activations shuffled together
    lm_batch: int = 16  # contexts in one forward of the language model
    calibration: int = 32768  # activations that set scale, mean and what resampling looks at
    resample: ResampleConfig = field(default_factory=ResampleConfig)


@dataclass(frozen=True)
class EvalConfig:
    """What a finished run is judged on; has an identity of its own."""

    sequences: int = 400
    batch: int = 16


@dataclass(frozen=True)
class Execution:
    """How and where runs execute; no part of their identity."""

    device: str = "auto"
    threads: int | None = None  # default: the cores this process may use
    checkpoint_seconds: float = 60.0
    history_every: int = 50  # steps between rows of history.csv
    sweeps_dir: str = MISSING
    retry_failed: bool = False


@dataclass(frozen=True)
class TrackerConfig:
    """An optional writer that follows each run's history."""

    name: str = "none"  # none, tensorboard, wandb
    project: str = "pipeline"


@dataclass(frozen=True)
class RunConfig:
    """One SAE at one point of the grid. `architecture` is the dataclass that the architecture registered."""

    model: ModelConfig
    site: SiteConfig
    architecture: Any
    data: DataConfig
    train: TrainConfig
    eval: EvalConfig
    layer: int
    sparsity_coefficient: float
    seed: int

    @property
    def hook_name(self) -> str:
        return self.site.hook.format(layer=self.layer)


@dataclass(frozen=True)
class Job:
    """A run with the circumstances that this command asked for."""

    run: RunConfig
    execution: Execution
    tracker: TrackerConfig
    sweep_name: str


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
    if train.lr <= 0 or run.sparsity_coefficient < 0:
        raise UserError("train.lr must be above 0 and sparsity_coefficient at least 0")
    if train.block < train.batch:
        raise UserError(f"train.block={train.block} is smaller than train.batch={train.batch}: a block holds batches")
    if run.model.context < 3:
        raise UserError(f"model.context={run.model.context} is too short: BOS, one token and one to predict are three")
    if run.eval.sequences % run.eval.batch:
        raise UserError(f"eval.sequences={run.eval.sequences} is no multiple of eval.batch={run.eval.batch}")


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested dictionaries and lists, fit for JSON."""
    assert is_dataclass(config) and not isinstance(config, type)
    return asdict(config)


def settings(run: RunConfig) -> dict[str, Any]:
    """A run's settings without paths: these say where a folder lay, its digest (in the identity) what it is."""
    content = plain(run)
    for section in ("model", "data"):
        del content[section]["path"]
    return content
