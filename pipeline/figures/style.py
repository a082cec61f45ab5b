"""How an architecture looks: the same in every figure, told apart without colour, and readable in grey."""

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import colors, rc_context
from matplotlib.figure import Figure

from pipeline.files import write_bytes

RC = {
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.labelsize": 9.0, "legend.fontsize": 8.5, "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e4e4e4", "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
    "lines.linewidth": 1.4, "lines.markersize": 5.5, "axes.formatter.useoffset": False,
    "pdf.fonttype": 42,
}  # fmt: skip
PNG_DPI = 150
REFERENCE: dict[str, Any] = {"color": "#555555", "linewidth": 0.9, "linestyle": (0, (1, 1.5))}
"""A line to compare with, as gamma = 1."""


@dataclass(frozen=True)
class Look:
    """Colour, marker and dashes of one architecture."""

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[float, ...]]

    def lighter(self, steps: int) -> "Look":
        """For the same architecture at another width: the colour paler by so many steps."""
        red, green, blue = (1 - (1 - part) * 0.6**steps for part in colors.to_rgb(self.colour))
        return Look(colors.to_hex((red, green, blue)), self.marker, self.dashes)

    def pruned(self) -> "Look":
        """For the same architecture with tiny activations left out: points and dots of its colour."""
        return Look(self.colour, ".", (0, (1, 1)))


PRUNED = ", pruned"
"""What follows an architecture's name where tiny activations are left out."""
# Colours of Okabe and Ito, which colour-blind readers tell apart; blue and orange differ most in grey.
KNOWN = {"gated": Look("#0072B2", "o", "-"), "baseline": Look("#E69F00", "s", (0, (4, 1.5)))}
COLOURS = ("#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = ("^", "D", "v", "P", "X", "*")
DASHES: tuple[tuple[int, tuple[float, ...]], ...] = ((0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))


def look(architecture: str) -> Look:
    """An architecture that is not known here gets a look from its name alone: the same in every sweep."""
    if architecture.endswith(PRUNED):
        return look(architecture.removesuffix(PRUNED)).pruned()
    if architecture in KNOWN:
        return KNOWN[architecture]
    number = zlib.crc32(architecture.encode())
    return Look(COLOURS[number % 5], MARKERS[number // 5 % 6], DASHES[number // 30 % 3])


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write stem.png and stem.pdf, the same bytes for the same figure."""
    paths = []
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        buffer = io.BytesIO()
        with rc_context(RC):
            figure.savefig(buffer, format=kind, dpi=PNG_DPI, metadata=metadata)
        path = stem.with_name(f"{stem.name}.{kind}")
        write_bytes(path, buffer.getvalue())
        paths.append(path)
    return paths
