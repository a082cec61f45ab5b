"""The figures' own pictures on the page: inside it as data, so that nothing is fetched, with links to their files."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.figures.draw_all import caption

LARGEST = 3_000_000
"""Bytes of an SVG on the page; a larger one, of hundreds of panels, is there as its PNG."""
TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Picture:
    name: str
    caption: str
    data: str  # a data: address
    files: list[str]


def pictures(paths: Sequence[Path]) -> list[Picture]:
    """One per figure, of all the files that were written of it."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.stem, []).append(path)
    return [
        Picture(name, caption(name), _data(files), [*(path.name for path in files), f"{name}.csv"])
        for name, files in found.items()
    ]


def _data(files: Sequence[Path]) -> str:
    of_kind = {path.suffix: path for path in files if path.suffix in TYPES}
    small = [path for path in of_kind.values() if path.suffix == ".svg" and path.stat().st_size <= LARGEST]
    chosen = small[0] if small else of_kind[".png"]
    return f"data:{TYPES[chosen.suffix]};base64,{base64.b64encode(chosen.read_bytes()).decode()}"
