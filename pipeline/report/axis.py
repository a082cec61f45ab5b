"""An axis of a figure on the page: where values lie, and at which round ones there is a word."""

from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from pipeline.analysis.curves import Floats


@dataclass(frozen=True)
class Axis:
    """From values to the drawing's units."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, values: Floats) -> Floats:
        low, high, at = (np.log(v) if self.logarithmic else v for v in (self.low, self.high, values))
        placed: Floats = self.start + (self.end - self.start) * (np.asarray(at) - low) / (high - low)
        return placed

    def ticks(self) -> list[tuple[float, str]]:
        """Round values on the axis: few, so that their words do not touch."""
        if self.logarithmic:
            decades = np.log10(self.high / self.low)
            steps = (1, 2, 5) if decades < 2 else (1,)
            locator = LogLocator(subs=steps, numticks=9) if decades > 0.6 else MaxNLocator(4)
        else:
            locator = MaxNLocator(7, steps=[1, 2, 5, 10])
        values = np.asarray(locator.tick_values(self.low, self.high), dtype=float)
        values = values[(values >= self.low) & (values <= self.high)]
        return list(zip(map(float, self.place(values)), self._words(values), strict=True))

    def _words(self, values: Floats) -> list[str]:
        """The values as text, on an even axis with as many decimals as its finest value needs."""
        words = [f"{value:.6g}" for value in values]
        if self.logarithmic or any("e" in word for word in words):
            return words
        decimals = max((len(word.partition(".")[2]) for word in words), default=0)
        return [f"{value:.{decimals}f}" for value in values]
