"""The configuration of one run, typed: what there is to set, and its defaults.

Hydra composes conf/ into a plain tree; `pipeline.cli.validate` checks that tree against these dataclasses. Next to
each field's type is what it accepts (`pipeline.config.accepted`). What decides a run's identity is under `RunConfig`;
how and where it executes is under `Execution`.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Annotated, Any, Literal

from omegaconf import MISSING

from pipeline.config.accepted import (
    LARGEST,
    NAME,
    AtOnce,
    Count,
    CountOrZero,
    FilePath,
    Form,
    Name,
    Not,
    NotNegative,
    Positive,
    Range,
    Text,
)
from pipeline.storage.layout import RUNS, SHARED

HOOK = Form(
    r"[\w.]*\{layer\}[\w.]*", "a hook's name with {layer} once, as blocks.{layer}.hook_mlp_out", "is not a hook"
)
DEVICE = Form(r"auto|cpu|cuda(:\d{1,3})?", "auto, cpu, cuda, or one GPU as cuda:1", "is unknown")


@dataclass(frozen=True)
class ModelShape:
    """What hooks and widths follow from; read from config.json when a local folder leaves it out."""

    n_layers: Count = MISSING
    d_model: Count = MISSING
    n_heads: Count = MISSING
    d_head: Count = MISSING
    d_mlp: CountOrZero = MISSING  # 0: the model has no MLP
    positions: Count | None = None  # the longest context; None: no limit


@dataclass(frozen=True)
class ModelConfig:
    """A language model: a hub repository at a revision, or a local Hugging Face folder."""

    name: Name = MISSING
    hub_id: Text | None = None
    revision: Text | None = None
    path: FilePath | None = None
    tokenizer_id: Text | None = None  # null: the model's own
    legacy: bool = False  # a TransformerLens checkpoint (.pth) rather than a Hugging Face one
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    context: Annotated[int, Range(at_least=3, at_most=LARGEST)] = MISSING  # BOS, one token and one to predict are three
    layer: CountOrZero = MISSING  # where `layer` points unless it is given
    shape: ModelShape | None = None


@dataclass(frozen=True)
class SiteConfig:
    """A place in each layer; `hook` holds {layer}."""

    name: Name = MISSING
    hook: Annotated[str, HOOK] = MISSING


@dataclass(frozen=True)
class DataConfig:
    """Text. source: bundled (with the package), files (local text and tables), hub (a streamed dataset), python (what a
    file of a user's yields)."""

    name: Name = MISSING
    source: Literal["bundled", "files", "hub", "python"] = MISSING
    path: FilePath | None = None  # files: a file, a folder or a glob; python: a .py file
    dataset: Text | None = None  # hub: the dataset's id
    subset: Text | None = None
    split: Text = "train"
    revision: Text | None = None
    text_column: Text = "text"
    token_column: Text | None = None  # token ids of the model's tokenizer, read instead of text
    document_column: Text | None = None  # files: rows with the same value here are one document
    split_documents: Text = "none"  # files, plain text: a file is one document; blank_line, or any string between two
    encoding: Text = "utf-8"  # files: of plain text, JSON and CSV
    packing: Literal["document", "concatenate"] = "document"  # a context stays inside a document; or they are joined
    separator: Literal["bos", "eos", "none"] = "bos"  # between joined documents
    evaluation_documents: Count = 2000  # hub: how many documents are held out, the first ones
    evaluation_fraction: Annotated[float, Range(above=0, below=1)] = 0.1  # files: the share of documents held out
    # files, hub: the share of the held-out documents that is validation text, and no test text
    validation_fraction: Annotated[float, Range(at_least=0, below=1)] = 0.0


@dataclass(frozen=True)
class ResampleConfig:
    """Re-initialisation of features that have not fired (appendix D.1.1 of the paper)."""

    steps: tuple[Count, ...] = ()
    window: Count = 1000  # dead: silent for this many steps
    inputs: Count = 8192  # calibration activations whose loss decides what dead features become
    encoder_norm: Positive = 0.2  # of the mean norm of alive encoder columns
    lr_factor: Annotated[float, Range(at_least=0, at_most=1)] = 0.1
    lr_warmup: CountOrZero = 1000


@dataclass(frozen=True)
class TrainConfig:
    """How an SAE is trained; every field is part of the run's identity."""

    steps: Count = MISSING
    batch: Count = MISSING
    lr: Positive = MISSING
    lr_warmup: CountOrZero = 0
    lr_decay: CountOrZero = 0  # last steps, over which it falls linearly to zero
    sparsity_warmup: CountOrZero = 0
    beta1: Annotated[float, Range(at_least=0, below=1)] = 0.0
    beta2: Annotated[float, Range(at_least=0, below=1)] = 0.999
    epsilon: Annotated[float, Range(at_least=1e-30, at_most=1)] = 1e-8  # float32 has no smaller one that is safe
    input_scale: Literal["sqrt_d_in", "none"] = "sqrt_d_in"  # E||x||^2 = d_in
    b_dec_init: Literal["mean", "zero"] = "mean"
    precision: Literal["float32", "bfloat16"] = "float32"  # of matrix products; bfloat16 is summed in float32
    tied_init: bool = True  # W_enc starts along the transpose of W_dec
    encoder_norm: Positive = 0.1  # initial norm of W_enc's columns
    # share of one activation's direction in each feature's initial direction
    data_directions: Annotated[float, Range(at_least=0, below=1)] = 0.0
    block: Count = 65536  # activations shuffled together
    lm_batch: Count = 16  # contexts in one forward of the language model
    calibration: Count = 32768  # activations that set scale, mean and what resampling looks at
    resample: ResampleConfig = field(default_factory=ResampleConfig)


@dataclass(frozen=True)
class EvalConfig:
    """How a finished run is evaluated; it has its own identity."""

    sequences: Count = 400
    batch: Count = 16
    split: Literal["test", "validation"] = "test"  # validation: the held-out text that settings are chosen on
    # a feature that fires on at least this fraction of the held-out tokens is alive
    alive_frequency: Annotated[float, Range(above=0, below=1)] = 1e-4
    prune_below: tuple[Positive, ...] = ()  # evaluated again without activations below each of these


@dataclass(frozen=True)
class Execution:
    """How and where runs execute; not part of their identity."""

    device: Annotated[str, DEVICE] = "auto"
    threads: AtOnce | None = None  # default: the cores this process may use
    checkpoint_seconds: Annotated[float, Range(at_least=0, at_most=1e9)] = 60.0  # 0: after each block
    history_every: Count = 50  # steps between rows of history.csv
    sweeps_dir: FilePath = MISSING
    retry_failed: bool = False


@dataclass(frozen=True)
class TrackerConfig:
    """An optional writer that follows each run's history."""

    name: Literal["none", "tensorboard", "wandb"] = "none"
    project: Name = "pipeline"


@dataclass(frozen=True)
class RunConfig:
    """One SAE at one point of the grid. `architecture` is the dataclass that the architecture registered.

    Frozen down to its leaves (tuples, no lists), so that what is derived from it, such as its name, is computed once.
    """

    model: ModelConfig
    site: SiteConfig
    architecture: Any
    data: DataConfig
    train: TrainConfig
    eval: EvalConfig
    layer: CountOrZero
    sparsity_coefficient: NotNegative
    seed: Annotated[int, Range(at_least=0, at_most=2**32 - 1)]  # of a larger one torch's generator reads 32 bits

    @property
    def hook_name(self) -> str:
        return self.site.hook.format(layer=self.layer)

    @property
    def slug(self) -> str:
        """What a person recognises the run by; no character that a shell or Hydra reads."""
        parts = (
            self.model.name, self.site.name, f"L{self.layer}", self.architecture.name,
            f"{'lam' if self.axis == 'sparsity_coefficient' else self.axis}{self.axis_value:g}", f"seed{self.seed}",
        )  # fmt: skip
        return "-".join(parts)

    @property
    def axis(self) -> str:
        """The setting that the architecture's frontier is drawn along: lambda, or what its settings call AXIS."""
        return getattr(self.architecture, "AXIS", "sparsity_coefficient")

    @property
    def axis_value(self) -> float:
        owner = self if self.axis == "sparsity_coefficient" else self.architecture
        return float(getattr(owner, self.axis))


@dataclass(frozen=True)
class Job:
    """A run with the circumstances that this command asked for."""

    run: RunConfig
    execution: Execution
    tracker: TrackerConfig
    sweep_name: Annotated[str, NAME, Not((RUNS, SHARED))]  # those folders lie next to the sweeps' own
    plan: bool = False
    extend: bool = False  # to the runs that the sweep has, rather than in their place


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested dictionaries and lists, fit for JSON and YAML."""
    assert is_dataclass(config) and not isinstance(config, type)
    return asdict(config, dict_factory=_with_lists)


def _with_lists(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in items}


def evaluation_settings(evaluation: EvalConfig) -> dict[str, Any]:
    """As `plain`, without thresholds where none are asked for: the identity of such an evaluation knows of none."""
    content = plain(evaluation)
    if not evaluation.prune_below:
        del content["prune_below"]
    return content


def settings(run: RunConfig) -> dict[str, Any]:
    """A run's settings without paths: these say where a folder lay, its digest (in the identity) what it is."""
    content = plain(run) | {"eval": evaluation_settings(run.eval)}
    for section in ("model", "data"):
        del content[section]["path"]
    return content
