"""What the figures must be, and the verdict over them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.table import Table

FIGURES = "figures.json"


@dataclass(frozen=True)
class Bar:
    """A limit on one figure, and the part of the benchmarks that measures it."""

    part: str
    what: str
    kind: Literal["at most", "at least"]
    limit: float

    def holds(self, value: float) -> bool:
        return value <= self.limit if self.kind == "at most" else value >= self.limit


BARS = {
    "step_large": Bar("step", "gated step / encoder product, 2048 x 512 x 8192, L0 82", "at most", 2.0),
    "step_default": Bar("step", "gated step / encoder product, 256 x 256 x 1024, L0 30", "at most", 2.0),
    "gradients": Bar("step", "gradient error / max(1e-5, twice fp32 autograd's)", "at most", 1.0),
    "agreement": Bar("step", "gradients against the peers', where the mathematics is the same", "at most", 2e-5),
    "whole_training": Bar("curves", "a training's curves: sparse against dense / spread of seeds", "at most", 1.0),
    "whole_training_held_out": Bar(
        "curves", "its held-out metrics: sparse minus dense / what seeds and harmless rounding allow", "at most", 1.0
    ),
    "step_memory": Bar("memory", "bytes a parameter of a step's worst moment, 4096 x 2560 x 131072", "at most", 24.0),
    "one_more_run": Bar("pack", "one more run in a pack / its own SAE steps", "at most", 1.1),
    "grid_saelens": Bar("grid", "16-run grid: SAELens' seconds / ours", "at least", 4.0),
    "loss_saelens": Bar("grid", "16-run grid: our held-out loss / SAELens'", "at most", 1.0),
    "loss_dictionary_learning": Bar("grid", "16-run grid: our held-out loss / dictionary_learning's", "at most", 1.0),
    "default_sweep": Bar("sweep", "minutes of sweep=gated_vs_baseline with its figures", "at most", 10.0),
}


def add_figures(folder: Path, figures: Mapping[str, float]) -> None:
    """Keep measured figures, by the bar's name, for the verdict."""
    unknown = set(figures) - set(BARS)
    if unknown:
        raise KeyError(f"no bar is called {', '.join(sorted(unknown))}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).write_text(json.dumps(read_figures(folder) | dict(figures), indent=1) + "\n")


def read_figures(folder: Path) -> dict[str, float]:
    path = folder / FIGURES
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def table(figures: Mapping[str, float], parts: Sequence[str], quick: bool = False) -> Table:
    """Each bar of these parts with its figure; a quick run is too short to be judged."""
    made = Table(
        "bars", "bars", {"part": "{}", "what": "{}", "measured": "{:.3g}", "bar": "{}", "finding": "{}"}
    )  # fmt: skip
    for name, bar in BARS.items():
        if bar.part in parts:
            value = figures.get(name)
            finding = "not measured" if value is None else "holds" if bar.holds(value) else "missed"
            shown = "not judged" if quick and value is not None else finding
            made.add(part=bar.part, what=bar.what, measured=value, bar=f"{bar.kind} {bar.limit:g}", finding=shown)
    return made


def verdict(figures: Mapping[str, float], parts: Sequence[str], quick: bool = False) -> tuple[str, int]:
    """One line, and the exit code: 0 where every bar of these parts was measured and holds.

    A quick run is judged by whether it measured everything.
    """
    wanted = {name: bar for name, bar in BARS.items() if bar.part in parts}
    absent = [bar.what for name, bar in wanted.items() if name not in figures]
    missed = [
        f"{bar.what} is {figures[name]:.3g}, {bar.kind} {bar.limit:g} was wanted"
        for name, bar in wanted.items() if name in figures and not quick and not bar.holds(figures[name])
    ]  # fmt: skip
    if absent or missed:
        return "bench: " + "; ".join(
            [*(f"MISSED: {line}" for line in missed), *(f"NOT MEASURED: {w}" for w in absent)]
        ), 1
    if quick:
        return f"bench: quick run, all {len(wanted)} figures measured, too short to judge the bars", 0
    return f"bench: all {len(wanted)} bars hold", 0
