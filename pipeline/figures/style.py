"""How an architecture looks: the same in every figure, told apart without colour, and readable in grey."""

import io
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import colors, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pipeline.storage.files import write_bytes

RC = {
    "font.size": 7.5, "axes.titlesize": 8.0, "axes.labelsize": 7.5, "legend.fontsize": 7.5, "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e4e4e4", "grid.linewidth": 0.5, "axes.linewidth": 0.6, "axes.axisbelow": True,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "legend.frameon": False, "lines.linewidth": 1.2, "lines.markersize": 4.0, "axes.formatter.useoffset": False,
    "pdf.fonttype": 42, "figure.dpi": 220, "axes.titley": 1.0,
    "text.parse_math": False, "svg.fonttype": "path", "svg.hashsalt": "pipeline",
}  # fmt: skip
REFERENCE: dict[str, Any] = {"color": "#555555", "linewidth": 0.8, "linestyle": (0, (1, 1.5)), "zorder": 1}
"""A line to compare with, as gamma = 1."""
BAND: dict[str, Any] = {"color": "#555555", "alpha": 0.1, "linewidth": 0, "zorder": 0.5}
"""A range to compare with, as gamma within 0.02 of 1."""


Dashes = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """Colour, marker and dashes of one architecture."""

    colour: str
    marker: str
    dashes: Dashes

    def lighter(self, steps: int) -> "Look":
        """For the same architecture at another width: the colour paler by so many steps."""
        return self._mixed(1.0, 1 - 0.6**steps)

    def shaded(self, place: float) -> "Look":
        """For one of an arm's lambdas: the colour darker the larger it is, `place` from 0 (least) to 1."""
        return self._mixed(1.0, 0.35 * (1 - 2 * place)) if place < 0.5 else self._mixed(0.0, 0.55 * (2 * place - 1))

    def _mixed(self, grey: float, share: float) -> "Look":
        parts = (part + (grey - part) * share for part in colors.to_rgb(self.colour))
        return Look(colors.to_hex(tuple(parts)), self.marker, self.dashes)

    def published(self) -> "Look":
        """For the same architecture as the paper has it: crosses and sparse dots of its colour."""
        return Look(self.colour, "x", (0, (1, 3)))

    def pruned(self) -> "Look":
        """For the same architecture with small activations left out: points and dots of its colour."""
        return Look(self.colour, ".", (0, (1, 1)))


PAPER = ", paper"
"""What follows an architecture's name where the points are those that the paper published."""
PRUNED = ", pruned"
"""What follows an architecture's name where small activations are left out."""
# Colours of Okabe and Ito, which colour-blind readers tell apart; blue and orange differ most in grey.
KNOWN = {"gated": Look("#0072B2", "o", "-"), "baseline": Look("#E69F00", "s", (0, (4, 1.5)))}
COLOURS: tuple[tuple[str, Dashes], ...] = (
    ("#009E73", (0, (1, 1))), ("#CC79A7", (0, (6, 1.5, 1, 1.5))), ("#D55E00", (0, (3, 1, 1, 1, 1, 1))),
    ("#56B4E9", (0, (2, 1))), ("#000000", (0, (8, 2))),
)  # fmt: skip
MARKERS = ("^", "D", "v", "P", "X", "*")


LOOKS = tuple(Look(colour, marker, dashes) for marker in MARKERS for colour, dashes in COLOURS)


def look(architecture: str) -> Look:
    """An architecture that is not known here gets its look from its name: the same one in every sweep."""
    if architecture.endswith(PAPER):
        return look(architecture.removesuffix(PAPER)).published()
    return KNOWN.get(architecture) or LOOKS[zlib.crc32(architecture.encode()) % len(LOOKS)]


def looks(architectures: Iterable[str]) -> dict[str, Look]:
    """The looks of the architectures in one sweep: as `look`, but one that resembles an earlier one gets another.

    Colours differ while there are enough of them, then markers do.
    """
    found: dict[str, Look] = {}
    for name in sorted(set(architectures)):
        preferred = look(name)
        found[name] = _least_alike(preferred, list(found.values())) if preferred in LOOKS else preferred
    return found


def _least_alike(preferred: Look, taken: Sequence[Look]) -> Look:
    """The preferred look, or the next that shares least with those that are taken."""
    start, colours, markers = LOOKS.index(preferred), [one.colour for one in taken], [one.marker for one in taken]
    choices = [*LOOKS[start:], *LOOKS[:start]]
    return min(choices, key=lambda one: (taken.count(one), colours.count(one.colour), markers.count(one.marker)))


KINDS = ("png", "svg", "pdf")
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters of names that no XML file may hold: Matplotlib writes what its letters spell as comments."""


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write stem.png, stem.svg and stem.pdf, the same bytes for the same figure.

    By the canvases' own methods: `Figure.savefig` draws everything twice, to compute a layout that is there already.
    """
    png, svg, pdf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with rc_context(RC):
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})  # last: it leaves 72 dots an inch
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in KINDS]
    text = NOT_XML.sub("", svg.getvalue().decode())
    for path, content in zip(paths, (png.getvalue(), text.encode(), pdf.getvalue()), strict=True):
        write_bytes(path, content)
    return paths
