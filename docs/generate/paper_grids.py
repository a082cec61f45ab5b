"""The paper's grids as sweeps of ours: prints a file of conf/sweep/ from the tables that the paper published.

python -m docs.generate.paper_grids figure_12 [docs/gated_paper_tables.csv]

Lambdas change their convention on the way. The paper's code divides the squared error by the width d_in, and for the
baselines of these tables by the size of the activations as well; ours does neither. A gated lambda is therefore d_in
times the paper's. A baseline lambda is d_in times the paper's times the ratio of gated to baseline lambdas that gave
equal L0 at that site and layer, read from the tables themselves.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from omegaconf import OmegaConf

from pipeline.config.schema import ModelShape
from pipeline.errors import UserError
from pipeline.storage.places import CONF, PAPER_TABLE

SITES = {"resid": "resid_post", "mlp": "mlp_out", "attn": "attn_z"}
"""The tables' names of the sites, and ours."""


@dataclass(frozen=True)
class Row:
    """One published SAE."""

    architecture: str
    site: str
    layer: int
    lam: float
    l0: float
    width: int
    note: str  # why the row is doubtful, mostly empty


@dataclass(frozen=True)
class Figure:
    """A figure of the paper; `overrides` are the lines that set its training and evaluation apart."""

    title: str
    model: str  # in conf/model/
    data: str
    overrides: tuple[str, ...]
    published_as: str = ""  # the model's name in the tables
    layers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grid:
    architecture: str
    site: str
    layer: int
    expansion: float
    lambdas: tuple[float, ...]
    comment: str = ""


FIGURES = {
    "figure_1": Figure(
        "Figure 1: Gemma-7B, layer 20, three sites; gated SAEs 2^17 wide, baselines 1.5 times that.",
        "gemma_7b", "fineweb", ("eval: { sequences: 1024, batch: 4 }",), "gemma-7b", (20,),
    ),
    "figure_6": Figure(
        "Figures 5 and 6: GELU-1L's MLP neurons. The paper prints neither widths nor lambdas for it: the grid is ours.",
        "gelu_1l", "c4",
        (
            "data: { separator: eos } # as TransformerLens joins documents, whose author trained this model",
            "train: { lm_batch: 256 }", "eval: { sequences: 8192, batch: 64 }",
        ),
    ),
    "figure_12": Figure(
        "Figure 12: Pythia-2.8B, five layers, three sites, each SAE as wide as the paper's tables say.",
        "pythia_2_8b", "pile", ("train: { steps: 400000, lm_batch: 8 }", "eval: { sequences: 512, batch: 8 }"),
        "pythia-2.8b", (4, 12, 16, 20, 28),
    ),
    "figure_13": Figure(
        "Figure 13: Gemma-7B, four layers, three sites; gated SAEs 2^17 wide, baselines 1.5 times that.",
        "gemma_7b", "fineweb", ("eval: { sequences: 1024, batch: 4 }",), "gemma-7b", (6, 13, 20, 27),
    ),
}  # fmt: skip

OUR_GELU_1L_LAMBDAS = (0.25, 0.4, 0.63, 1.0, 1.6, 2.5, 4.0, 6.3)
"""Around 1.2, the penalty in our units of the public SAEs of neelnanda-io/1L-Sparse-Autoencoder at this site."""


def read_rows(tables: Path, model: str) -> list[Row]:
    """The rows of one model, but for the four to which the paper gives a negative L0."""
    with tables.open(newline="", encoding="utf-8") as file:
        rows = [
            Row(r["arch"], r["site"], int(r["layer"]), float(r["lam"]), float(r["l0"]), int(r["width"]), r["note"])
            for r in csv.DictReader(file)
            if r["model"] == model
        ]
    return [row for row in rows if row.l0 >= 0]


def lambda_ratios(rows: Sequence[Row]) -> list[float]:
    """Gated lambda over baseline lambda at equal L0, once for each row whose L0 the other arm's rows enclose.

    Log lambda is interpolated in log L0. Rows with a note or an L0 of zero are left out.
    """
    sound = [row for row in rows if row.l0 > 0 and not row.note]
    gated, baseline = _arm(sound, "gated"), _arm(sound, "baseline")
    by_baseline_row = [_log_lambda(gated, row.l0) - np.log(row.lam) for row in baseline if _encloses(gated, row.l0)]
    by_gated_row = [np.log(row.lam) - _log_lambda(baseline, row.l0) for row in gated if _encloses(baseline, row.l0)]
    return [float(np.exp(difference)) for difference in (*by_baseline_row, *by_gated_row)]


def _arm(rows: Sequence[Row], architecture: str) -> list[Row]:
    return sorted((row for row in rows if row.architecture == architecture), key=lambda row: (row.l0, row.lam))


def _encloses(arm: Sequence[Row], l0: float) -> bool:
    return bool(arm) and arm[0].l0 <= l0 <= arm[-1].l0


def _log_lambda(arm: Sequence[Row], l0: float) -> float:
    return float(np.interp(np.log(l0), np.log([row.l0 for row in arm]), np.log([row.lam for row in arm])))


def published_grids(figure: Figure, tables: Path) -> list[Grid]:
    """The grids of every site and layer of a figure."""
    shape = ModelShape(**OmegaConf.load(CONF / "model" / f"{figure.model}.yaml").shape)
    rows = read_rows(tables, figure.published_as)
    grids: list[Grid] = []
    for site in SITES:
        d_in = shape.n_heads * shape.d_head if site == "attn" else shape.d_model
        for layer in figure.layers:
            grids += _grids_at([row for row in rows if (row.site, row.layer) == (site, layer)], d_in)
    return grids


def _grids_at(rows: Sequence[Row], d_in: int) -> list[Grid]:
    """One grid for each architecture and width at a site and layer; rows that differ in nothing else are one."""
    site, layer = SITES[rows[0].site], rows[0].layer
    ratios = lambda_ratios(rows)
    if not ratios:
        raise UserError(f"the arms' L0 do not overlap at {site}, layer {layer}: lambdas cannot be converted")
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    comment = f"Gated over baseline lambda at equal L0: {median(ratios):.3g}, the median of {len(ratios)} ({spread})."
    grids: list[Grid] = []
    for architecture, factor in (("gated", float(d_in)), ("baseline", d_in * median(ratios))):
        arm = _arm(rows, architecture)
        for width in sorted({row.width for row in arm}, reverse=True):
            lambdas = {float(f"{row.lam * factor:.3g}") for row in arm if row.width == width}
            above = "" if grids else comment
            grids.append(Grid(architecture, site, layer, width / d_in, tuple(sorted(lambdas)), above))
    return grids


def our_gelu_1l_grids() -> list[Grid]:
    """Both arms on the same lambdas, at the widths that the paper calls its usual ones."""
    return [
        Grid("gated", "mlp_post", 0, 2**17 / 2048, OUR_GELU_1L_LAMBDAS),
        Grid("baseline", "mlp_post", 0, 3 * 2**16 / 2048, OUR_GELU_1L_LAMBDAS),
    ]


def as_yaml(name: str, figure: Figure, grids: Sequence[Grid]) -> str:
    lines = [
        "# @package _global_",
        f"# {figure.title}",
        f"# Written by `python -m docs.generate.paper_grids {name}`, which says where lambdas come from: change it.",
        "# Every run learns at 3e-4, the paper's rate wherever the loss is not divided by the activations' size.",
        "defaults:",
        f"  - override /model: {figure.model}",
        f"  - override /data: {figure.data}",
        "  - override /train: paper",
        f"sweep_name: {name}",
        *figure.overrides,
        "hydra:",
        "  sweeper:",
        "    params: { seed: [0] }",
        "    grids:",
    ]
    for grid in grids:
        if grid.comment:
            lines.append(f"      # {grid.comment}")
        lambdas = ", ".join(f"{value:g}" for value in grid.lambdas)
        lines += [
            f"      - {{ architecture: {grid.architecture}, site: {grid.site}, layer: {grid.layer}, "
            f"architecture.expansion: {round(grid.expansion, 7):.9g},",
            f"          sparsity_coefficient: [{lambdas}] }}",
        ]
    return "\n".join(lines) + "\n"


def sweep_yaml(name: str, tables: Path = PAPER_TABLE) -> str:
    """The content of conf/sweep/<name>.yaml."""
    if name not in FIGURES:
        raise UserError(f"{name} is unknown; accepted: {', '.join(FIGURES)}")
    figure = FIGURES[name]
    return as_yaml(name, figure, published_grids(figure, tables) if figure.layers else our_gelu_1l_grids())


def main() -> None:
    if len(sys.argv) not in {2, 3}:
        raise SystemExit(f"usage: python -m docs.generate.paper_grids {{{','.join(FIGURES)}}} [TABLES.csv]")
    try:
        print(sweep_yaml(sys.argv[1], *map(Path, sys.argv[2:])), end="")
    except (UserError, OSError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
