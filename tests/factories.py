"""What tests are about: configurations of runs, jobs, records, and finished sweeps on disk, sequences and all.

Records are what `pipeline.records.record` would have left; their numbers are made by arithmetic.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline.config.schema import (
    DataConfig,
    EvalConfig,
    Execution,
    Job,
    ModelConfig,
    ModelShape,
    RunConfig,
    SiteConfig,
    TrackerConfig,
    TrainConfig,
)
from pipeline.sae.registry import config_class

HOOKS = {"attn_z": "attn.hook_z", "mlp_out": "hook_mlp_out", "resid_post": "hook_resid_post"}
TOY = ModelShape(n_layers=2, d_model=8, n_heads=2, d_head=4, d_mlp=16)
PREDICTIONS = 15.0


def site(name: str) -> SiteConfig:
    return SiteConfig(name, f"blocks.{{layer}}.{HOOKS[name]}")


def run_config(**changes: Any) -> RunConfig:
    """A run of a toy model that no test loads.

    Args:
        changes: fields of the run, whose site and architecture may be given by name.
    """
    named = {"site": site, "architecture": lambda name: config_class(name)()}
    changes = {key: named[key](value) if isinstance(value, str) else value for key, value in changes.items()}
    run = RunConfig(
        model=ModelConfig(name="toy", context=9, layer=0, shape=TOY), site=site("resid_post"),
        architecture=config_class("gated")(), data=DataConfig(name="toy", source="bundled"),
        train=TrainConfig(steps=1, batch=1, lr=1.0), eval=EvalConfig(), layer=0, sparsity_coefficient=1.0, seed=0,
    )  # fmt: skip
    return replace(run, **changes)


def tiny_run(model: Path, text: Path, **changes: Any) -> RunConfig:
    """A run on the model and text of `tests.tiny`, at layer 1; `changes` as `run_config` takes them."""
    tiny = {
        "model": ModelConfig(name="tiny", path=str(model), context=32, layer=1), "site": "mlp_out", "layer": 1,
        "architecture": config_class("gated")(expansion=4.0), "eval": EvalConfig(sequences=12, batch=4),
        "data": DataConfig("files", "files", path=str(text), evaluation_fraction=0.3), "sparsity_coefficient": 2.0,
    }  # fmt: skip
    return run_config(**(tiny | changes))


def execution(sweeps_dir: Path, **changes: Any) -> Execution:
    """On a CPU's one thread, with a checkpoint after every block."""
    given = {"device": "cpu", "threads": 1, "history_every": 5, "checkpoint_seconds": 0.0} | changes
    return Execution(sweeps_dir=str(sweeps_dir), **given)


def jobs(runs: Sequence[RunConfig], sweeps_dir: Path, sweep_name: str = "s", **changes: Any) -> list[Job]:
    """Args: changes: of the execution."""
    return [Job(run, execution(sweeps_dir, **changes), TrackerConfig(), sweep_name) for run in runs]


def record(**parts: Any) -> dict[str, Any]:
    """The content of a metrics.json; `run=NAME` makes it one run's only."""
    content = {
        "training_version": 1, "evaluation_version": 1, "identity": {}, "settings": {}, "training": {},
        "evaluation": {"id": "e"}, "metrics": {}, "provenance": {},
    }  # fmt: skip
    return content | parts


@dataclass
class Text:
    """Held-out sequences of several documents with their clean losses; everything a sum a sequence."""

    sequences: int = 60
    documents: int = 12
    seed: int = 0
    gap: float = 0.5  # nats a prediction between clean and zero-ablated
    noise: float = 1.0
    spread: float = 0.0  # of the gap from sequence to sequence, nats a prediction

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.document = rng.permutation(np.arange(self.sequences) % self.documents).astype(np.int64) * 3 + 5
        self.predictions = np.full(self.sequences, int(PREDICTIONS))
        self.ce_clean = PREDICTIONS * (3 + 0.3 * self.noise * rng.normal(size=self.sequences))
        self.gaps = PREDICTIONS * self.gap * np.exp(0.3 * self.noise * rng.normal(size=self.sequences))
        self.gaps += PREDICTIONS * self.spread * rng.normal(size=self.sequences)
        self.id = f"evaluation{self.seed}"

    def store(self, shared: Path) -> None:
        shared.mkdir(parents=True, exist_ok=True)
        clean = {"ce_clean": self.ce_clean, "predictions": self.predictions, "document": self.document}
        save_file(clean, shared / f"clean{self.seed}.safetensors")
        ablated = {"ce_zero": self.ce_clean + self.gaps, "ce_mean": self.ce_clean + 0.9 * self.gaps}
        save_file(ablated, shared / f"ablated{self.seed}.safetensors")


@dataclass
class Sweep:
    """A sweep under construction."""

    sweeps_dir: Path
    declared: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self, architecture: str, lam: float, l0: float, recovered: float, text: Text | None = None, seed: int = 0,
        site: str = "mlp_out", model: str = "toy@1", expansion: int | None = None, noise: float = 0.1,
        draw: int | None = None, threads: int = 2, **extra: float,
    ) -> Path:  # fmt: skip
        """A finished run; its sequences scatter about the given L0 and loss recovered."""
        text = text or Text()
        name = f"{site}-{architecture}-{lam:g}-{seed}-{model[-1]}-{text.id}-{expansion}"
        settings = self._settings(architecture, lam, seed, site, expansion)
        folder = self._declare(name, settings, text, model)
        text.store(self.sweeps_dir / "shared")
        rng = np.random.default_rng([int(10 * lam), seed, len(architecture)] if draw is None else draw)
        sums = {
            "tokens": np.full(text.sequences, PREDICTIONS + 1),
            "l0": (PREDICTIONS + 1) * l0 * np.exp(noise * rng.normal(size=text.sequences)),
            "ce_sae": text.ce_clean + text.gaps * (1 - recovered + noise * rng.normal(size=text.sequences)),
        }
        sums |= energies(text.sequences, extra.get("gamma", 1.0), noise, rng)
        counts = feature_counts(8 * settings["architecture"]["expansion"], sums["l0"].sum())
        save_file(sums | {"feature_counts": counts}, folder / "sequences.safetensors")
        put(folder / "metrics.json", self._record(name, settings, text, model, sums, extra))
        put(
            folder / "execution.json",
            {"attempts": [{"training_seconds": extra.get("seconds", 10.0), "device": "cpu", "threads": threads}]},
        )
        return folder

    def prune(self, folder: Path, thresholds: dict[float, tuple[float, float]]) -> None:
        """Evaluate a finished run pruned too: by threshold the factor on its L0 and what it loses of loss recovered."""
        record, sums = json.loads((folder / "metrics.json").read_text()), load_file(folder / "sequences.safetensors")
        metrics, ablated = record["metrics"], load_file(self.sweeps_dir / "shared" / "ablated0.safetensors")["ce_zero"]
        gaps = ablated - load_file(self.sweeps_dir / "shared" / "clean0.safetensors")["ce_clean"]
        record["pruned"] = [
            {
                **metrics, "below": below, "below_unscaled": 2 * below, "l0": metrics["l0"] * factor,
                "ce_sae": metrics["ce_sae"] + (metrics["ce_zero"] - metrics["ce_clean"]) * lost,
                "loss_recovered": metrics["loss_recovered"] - lost,
                "loss_recovered_mean_ablation": metrics["loss_recovered_mean_ablation"] - lost / 0.9,
            }
            for below, (factor, lost) in thresholds.items()
        ]  # fmt: skip
        record["settings"]["eval"] = {"prune_below": list(thresholds)}
        put(folder / "metrics.json", record)
        pruned = {
            "pruned_l0": np.stack([sums["l0"] * factor for factor, _ in thresholds.values()]),
            "pruned_ce_sae": np.stack([sums["ce_sae"] + gaps * lost for _, lost in thresholds.values()]),
        }
        save_file(sums | pruned, folder / "sequences.safetensors")

    def absent(self, architecture: str, lam: float, failure: str | None = None, text: Text | None = None) -> None:
        """A run that is missing, or has failed."""
        name = f"absent-{architecture}-{lam:g}"
        folder = self._declare(name, self._settings(architecture, lam, 0, "mlp_out", None), text or Text(), "toy@1")
        if failure:
            put(folder / "failure.json", {"error": "TrainingDiverged", "reason": failure, "step": 3})

    def write(self, sweep: str) -> None:
        put(self.sweeps_dir / sweep / "manifest.json", {"sweep": sweep, "runs": self.declared})

    def arms(self, text: Text | None = None, seeds: int = 1, **where: Any) -> dict[str, list[Path]]:
        """Both arms at four lambdas; the baseline needs twice the features. Returns the folders of each."""
        folders: dict[str, list[Path]] = {"gated": [], "baseline": []}
        for seed in range(seeds):
            for number, (l0, recovered) in enumerate(((5, 0.6), (10, 0.75), (20, 0.85), (40, 0.92))):
                for arm, factor in (("gated", 1.0), ("baseline", 2.0)):
                    shift = 1 + 0.02 * np.sin(7 * seed + number + factor) if seeds > 1 else 1.0
                    folder = self.run(arm, 4.0 - number, l0 * factor * shift, recovered, text, seed, **where)
                    folders[arm].append(folder)
        return folders

    def _settings(self, architecture: str, lam: float, seed: int, site: str, expansion: int | None) -> dict[str, Any]:
        wide = expansion or (6 if architecture == "baseline" else 4)
        return {
            "model": {"name": "toy"}, "site": {"name": site}, "data": {"name": "d"}, "layer": 1, "seed": seed,
            "architecture": {"name": architecture, "expansion": wide}, "sparsity_coefficient": lam,
            "train": {"steps": 100, "batch": 8, "lr": 1e-3},
        }  # fmt: skip

    def _declare(self, name: str, settings: dict[str, Any], text: Text, model: str) -> Path:
        d_sae = 8 * settings["architecture"]["expansion"]
        entry = {"run": name, "evaluation": text.id, "model": model, "d_in": 8, "d_sae": d_sae, "settings": settings}
        self.declared.append(entry)
        folder = self.sweeps_dir / "runs" / name
        folder.mkdir(parents=True)
        return folder

    def _record(
        self, name: str, settings: dict[str, Any], text: Text, model: str, sums: dict[str, np.ndarray],
        extra: dict[str, float],
    ) -> dict[str, Any]:  # fmt: skip
        count = text.predictions.sum()
        clean, sae, gap = (values.sum() / count for values in (text.ce_clean, sums["ce_sae"], text.gaps))
        metrics = {
            "l0": sums["l0"].sum() / sums["tokens"].sum(), "ce_clean": clean, "ce_sae": sae, "ce_zero": clean + gap,
            "ce_mean": clean + 0.9 * gap, "loss_recovered": (clean + gap - sae) / gap,
            "loss_recovered_mean_ablation": (clean + 0.9 * gap - sae) / (0.9 * gap), "gamma": 1.0,
            "alive_fraction": 0.95, "dead_fraction": 0.05, "fvu": 0.1,
        }  # fmt: skip
        evaluation = {"id": text.id, "clean": f"clean{text.seed}", "ablated": f"ablated{text.seed}"}
        facts = {"d_in": 8, "d_sae": 8 * settings["architecture"]["expansion"], "tokens": 800}
        return record(
            run=name, identity={"model": model}, settings=settings, training=facts, evaluation=evaluation,
            metrics=metrics | extra,
        )  # fmt: skip


def energies(sequences: int, gamma: float, noise: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Sums of ||x_hat||^2 and of x . x_hat that scatter from sequence to sequence and give gamma over all of them."""
    x_xhat = (PREDICTIONS + 1) * np.exp(0.3 * rng.normal(size=sequences))
    xhat_xhat = x_xhat * np.exp(noise * rng.normal(size=sequences))
    return {"x_xhat": x_xhat, "xhat_xhat": xhat_xhat * (gamma * x_xhat.sum() / xhat_xhat.sum())}


def feature_counts(d_sae: int, firings: float) -> np.ndarray:
    """How often each feature fires: one in twenty never, the others in equal steps from rarely to often."""
    weights = np.arange(d_sae, dtype=float) * (np.arange(d_sae) >= d_sae // 20)
    return np.round(weights / weights.sum() * firings).astype(np.int64)


def put(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
