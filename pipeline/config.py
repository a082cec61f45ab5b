"""The configuration of one run, typed: what there is to set, and its defaults.

Hydra composes conf/ into a plain tree; `pipeline.from_hydra` checks that tree against these dataclasses. What decides a
run's identity is under `RunConfig`; how and where it executes is under `Execution`.
"""

from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from omegaconf import MISSING


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
    precision: str = "float32"  # of matrix products; or bfloat16, summed in float32
    tied_init: bool = True  # W_enc starts along the transpose of W_dec
    encoder_norm: float = 0.1  # of W_enc's columns at the start
    data_directions: float = 0.0  # at the start, share of an activation's direction in each feature's; below 1
    block: int = 65536  # activations shuffled together
    lm_batch: int = 16  # contexts in one forward of the language model
    calibration: int = 32768  # activations that set scale, mean and what resampling looks at
    resample: ResampleConfig = field(default_factory=ResampleConfig)


@dataclass(frozen=True)
class EvalConfig:
    """What a finished run is judged on; has an identity of its own."""

    sequences: int = 400
    batch: int = 16
    prune_below: list[float] = field(default_factory=list)  # evaluated again without activations below each of these


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


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as nested dictionaries and lists, fit for JSON."""
    assert is_dataclass(config) and not isinstance(config, type)
    return asdict(config)


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
