"""What is compared with each other, and what its noise is drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.analysis.curves import Floats
from pipeline.analysis.frontier import as_floats
from pipeline.comparison import bootstrap
from pipeline.comparison.along import Sampler
from pipeline.comparison.arms import Front
from pipeline.comparison.documents import Documents

Fidelity = Literal["zero", "mean", "delta_ce"]
"""Loss recovered by what the site is ablated with, or minus the cross-entropy added."""
LOSS_RECOVERED = {"zero": "loss_recovered", "mean": "loss_recovered_mean_ablation"}
"""By ablation: the column of loss recovered."""
DELTA_CE: Fidelity = "delta_ce"


@dataclass(frozen=True)
class Panel:
    """The finished runs of one (model, site, layer, data, evaluation)."""

    key: dict[str, Any]
    runs: pd.DataFrame  # numbered from 0
    sums: Documents | None
    reasons: dict[str, str]  # by run: why its sequences are not used
    drawn: Floats  # [1 + replicates, documents]
    undrawn: str = "none were read"  # why no documents are drawn where nothing is wrong with them
    refused: Mapping[str, str] = field(default_factory=dict)  # by ablation: why its loss recovered is not used

    @property
    def x(self) -> Floats:
        """[runs] log L0."""
        logs: Floats = np.log(as_floats(self.runs["l0"]).clip(1e-300))
        return logs

    def y(self, fidelity: Fidelity) -> Floats:
        """[runs] fidelity: more is better."""
        if fidelity == DELTA_CE:
            return as_floats(self.runs["ce_clean"]) - as_floats(self.runs["ce_sae"])
        return as_floats(self.runs[LOSS_RECOVERED[fidelity]])

    @property
    def seeds(self) -> npt.NDArray[np.int64]:
        """[runs] negative where none is known."""
        return pd.to_numeric(self.runs["seed"], errors="coerce").fillna(-1).to_numpy(dtype=np.int64)

    def sample(self, front: Front, fidelity: Fidelity) -> Sampler:
        """The front's points as they are: one row."""
        points = front.averaged(self.x[None]), front.averaged(self.y(fidelity)[None])
        return lambda rows: (points[0][rows], points[1][rows])

    def resampled(self, front: Front, fidelity: Fidelity) -> Sampler:
        """The front's points over the documents of each draw; needs sums."""
        sums = self.sums
        assert sums is not None
        local = replace(front, runs=np.arange(len(front.runs)))

        def points(rows: slice) -> tuple[Floats, Floats]:
            drawn = self.drawn[rows]
            with np.errstate(divide="ignore", invalid="ignore"):
                x, spliced = np.log(bootstrap.l0(sums, drawn, front.runs)), bootstrap.ce_sae(sums, drawn, front.runs)
                if fidelity == DELTA_CE:
                    y = -bootstrap.delta_ce(sums, drawn, spliced)
                else:
                    y = bootstrap.loss_recovered(sums, drawn, spliced, fidelity)
                return local.averaged(x), local.averaged(y)

        return points

    def unmeasured(self, fronts: tuple[Front, ...]) -> str | None:
        """Why documents cannot be resampled for these fronts; None where they can."""
        if self.sums is None:
            return next(iter(self.reasons.values()), self.undrawn)
        names = self.runs["run"]
        lacking = [self.reasons[names[row]] for front in fronts for row in front.runs if names[row] in self.reasons]
        if lacking:
            return f"{len(lacking)} run{'s' if len(lacking) > 1 else ''} without usable sequences: {lacking[0]}"
        if len(self.sums.predictions) < bootstrap.FEWEST_DOCUMENTS:
            return f"{len(self.sums.predictions)} documents are too few"
        return None
