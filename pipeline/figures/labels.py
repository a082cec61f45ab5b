"""Small numbers next to points: placed after the layout, where nothing else is; left out where there is no room."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.analysis.curves import Floats

SIZE = 6.0
"""Of the font, points."""
CHARACTER = 0.64
"""Width of a digit, in sizes of the font: no other character of a number is wider."""
MARKER = 5.0
"""Width and height that a marker takes, points."""
GAP = 1.0
DIRECTIONS = ((0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0))
STEPS = (1.0, 1.5)
"""How far out each direction is tried, in distances at which the words clear the marker."""


@dataclass(frozen=True)
class Label:
    """Words for the point at (x, y) of some axes, in data coordinates."""

    axes: Axes
    x: float
    y: float
    words: str
    colour: str


def place(figure: Figure, labels: Sequence[Label]) -> None:
    """Write each label that has a free place next to its point: clear of markers, lines, intervals and other labels."""
    for axes in dict.fromkeys(label.axes for label in labels):
        _place_on(axes, [label for label in labels if label.axes is axes], figure.dpi / 72)


def _place_on(axes: Axes, labels: Sequence[Label], scale: float) -> None:
    """Write the labels of one panel. Boxes are (left, bottom, right, top), in points from the corner of the axes."""
    corner = np.array([axes.bbox.x0, axes.bbox.y0])
    inside = np.array([0, 0, axes.bbox.width / scale, axes.bbox.height / scale])
    taken, levels = _drawn(axes, corner, scale), _levels(axes, corner, scale)
    for label in labels:
        at = (axes.transData.transform((label.x, label.y)) - corner) / scale
        offsets, boxes = _choices(at, _size(label.words))
        within = (boxes[:, :2] >= inside[:2]).all(1) & (boxes[:, 2:] <= inside[2:]).all(1)
        hull = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        nearby = taken[_cross(hull[None], taken)[0]]
        free = np.flatnonzero(within & ~_cross(boxes, nearby).any(1))
        if not free.size:
            continue
        near = free[free < len(DIRECTIONS)] if free[0] < len(DIRECTIONS) else free
        chosen = near[np.argmin(_cross(boxes[near], levels).any(1))]  # near, then clear of the lines to compare with
        taken = np.concatenate([taken, boxes[chosen, None]])
        axes.annotate(
            label.words, (label.x, label.y), offsets[chosen], textcoords="offset points", ha="center", va="center",
            fontsize=SIZE, color=label.colour, zorder=4,
        )  # fmt: skip


def _size(words: str) -> Floats:
    size: Floats = np.array([CHARACTER * SIZE * len(words) + 2 * GAP, SIZE + GAP])
    return size


def _choices(at: Floats, size: Floats) -> tuple[Floats, Floats]:
    """[choices, 2] how far words of this size may lie from a point, the first step first; [choices, 4] their boxes."""
    away = (np.multiply.outer(STEPS, MARKER + size)[:, None] / 2 * np.array(DIRECTIONS)).reshape(-1, 2)
    middle = at + away
    return away, np.hstack([middle - size / 2, middle + size / 2])


def _drawn(axes: Axes, corner: Floats, scale: float) -> Floats:
    """[boxes, 4] of the markers, of short pieces of the lines, and of the intervals."""
    boxes = [np.empty((0, 4))]
    for line in axes.lines:
        if line.get_transform() == axes.transData:
            places = (axes.transData.transform(line.get_xydata()) - corner) / scale
            places = places[np.isfinite(places).all(1)]
            marked = line.get_marker() not in {"", "None", None}
            between, half = (places, MARKER / 2) if marked else (_along(places), 0.5)
            boxes.append(np.hstack([between - half, between + half]))
    for path in (path for bars in axes.collections for path in bars.get_paths()):
        ends = ((axes.transData.transform(path.vertices) - corner) / scale).reshape(-1, 2, 2)
        boxes.append(np.hstack([ends.min(1) - 0.5, ends.max(1) + 0.5]))
    return np.concatenate(boxes)


def _levels(axes: Axes, corner: Floats, scale: float) -> Floats:
    """[boxes, 4] of the lines to compare with, across the axes: words cross them only where they must."""
    heights = [float(np.ravel(line.get_ydata())[0]) for line in axes.lines if line.get_transform() != axes.transData]
    places = np.array([(axes.transData.transform((1.0, y))[1] - corner[1]) / scale for y in heights])
    left, right = np.full(len(places), -np.inf), np.full(len(places), np.inf)
    return np.stack([left, places - 0.5, right, places + 0.5], axis=1)


def _along(places: Floats) -> Floats:
    """Points every two or so along a line."""
    pieces = [places[:1]]
    for start, end in pairwise(places):
        count = int(min(np.hypot(*(end - start)) / 2, 500)) + 2
        pieces.append(start + (end - start) * np.linspace(0, 1, count)[:, None])
    return np.concatenate(pieces)


def _cross(boxes: Floats, others: Floats) -> npt.NDArray[np.bool_]:
    """[boxes, others]"""
    (left, bottom, right, top), (x0, y0, x1, y1) = boxes.T[:, :, None], others.T
    crossing: npt.NDArray[np.bool_] = (left < x1) & (x0 < right) & (bottom < y1) & (y0 < top)
    return crossing
