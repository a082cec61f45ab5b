"""Panels, pairs and answers by hand, for tests of words."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.analysis.frontier import PANEL
from pipeline.comparison.arms import Front, Pair, without_points
from pipeline.comparison.panel import Panel
from pipeline.comparison.questions import DIRECTION, Answer


def panel(site: str = "mlp_out", **key: Any) -> Panel:
    """Without runs."""
    named = dict(zip(PANEL, ("m", site, 0, "d", "e"), strict=True)) | key
    return Panel(named, pd.DataFrame(), None, {}, np.ones((1, 1)))


def front(architecture: str, d_sae: int = 32) -> Front:
    """Without points."""
    return without_points(architecture, d_sae)


def pair(reference: str = "baseline", candidate: str = "gated", names: tuple[str, ...] = ("width_1.5",)) -> Pair:
    return Pair(front(reference, 48), front(candidate), names)


def answer(
    word: str, site: str = "mlp_out", question: str = DIRECTION, of: Pair | None = None, at: Panel | None = None,
    left_out: str = "", trainings: bool = True,
) -> Answer:  # fmt: skip
    """Answered, unless the word is "undecided"."""
    level = 1.0 if word == "undecided" else 0.01
    number = {"above": 2.0, "below": 0.5}.get(word, 1.0)
    said = f"L0 ratio {number:g}"
    return Answer(question, at or panel(site), of or pair(), word, level, trainings, said, left_out=left_out,
                  adjusted=np.nan if left_out else level, family=3)  # fmt: skip
