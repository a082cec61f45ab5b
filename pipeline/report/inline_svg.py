"""Matplotlib's SVG as part of an HTML page.

An SVG in a page shares its names and its style sheet, and the page's policy forbids style attributes. So ids are made
unique and short, styles become classes, and what a page has no use for is left out.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
SCALE = 1.9
"""Pixels of the page per point of the figure: its smallest words, of 6 points, then are as large as a note's."""
LARGE = 600.0
"""Points of width from which on a figure is never scaled down: its words would be too small."""
REFERENCE = re.compile(r"url\(#([^)]+)\)")
DECLARATIONS = re.compile(r"[\w\s:;#.,%()-]*")
"""What style attributes hold; anything else does not get into the page's style sheet."""


@dataclass(frozen=True)
class PlotPoint:
    row: int  # of the page's table of runs
    label: str


class StyleClasses:
    """A class per style that the figures use."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, declarations: str) -> str:
        return self._names.setdefault(declarations, f"s{len(self._names)}")

    def css(self) -> Markup:
        rules = (f".{name} {{ {words} }}" for words, name in self._names.items() if DECLARATIONS.fullmatch(words))
        return Markup("\n".join(rules))


def inline(
    svg: bytes, name: str, label: str, points: Callable[[str], Sequence[PlotPoint | None]], classes: StyleClasses
) -> Markup:
    """The SVG as an element of the page.

    Args:
        name: with which the ids begin.
        label: what the figure shows, for readers who do not see it.
        points: what the markers of the group with this id stand for, in order; nothing for a group that has none.
    """
    root = ElementTree.fromstring(svg)
    _tie(root, points)
    ids = _short_ids(root, name)
    for parent in root.iter():
        for child in [child for child in parent if child.tag in {f"{SVG}metadata", f"{SVG}style"}]:
            parent.remove(child)
    for element in root.iter():
        _clean(element, ids, classes)
    width = float(root.attrib["viewBox"].split()[2])
    root.attrib = {"viewBox": root.attrib["viewBox"], "width": f"{SCALE * width:.0f}"}
    root.attrib |= {"role": "group", "aria-label": label} | ({"class": "large"} if width > LARGE else {})
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _tie(root: Element, points: Callable[[str], Sequence[PlotPoint | None]]) -> None:
    """Give markers the rows that they stand for, and panels that have such markers their class."""
    for axes in root.iter(f"{SVG}g"):
        if not axes.get("id", "").startswith("axes_"):
            continue
        for group in axes.iter(f"{SVG}g"):
            markers = list(group.iter(f"{SVG}use"))
            found = points(group.get("id", ""))
            if len(found) != len(markers):
                continue
            for marker, point in zip(markers, found, strict=True):
                if point is not None:
                    marker.attrib |= {"data-row": str(point.row), "role": "img", "aria-label": point.label}
                    axes.set("class", "panel")


def _short_ids(root: Element, name: str) -> dict[str, str]:
    """New ids for the elements that others refer to."""
    found: dict[str, str] = {}
    for element in root.iter():
        href = element.get(f"{XLINK}href", "")
        named = [old for key, value in element.items() if key != "d" for old in REFERENCE.findall(value)]
        for old in (*([href[1:]] if href.startswith("#") else []), *named):
            found.setdefault(old, f"{name}.{len(found)}")
    return found


def _address(href: str, ids: dict[str, str]) -> str:
    """Within the figure, or a picture that it holds; nothing leads away."""
    return f"#{ids[href[1:]]}" if href.startswith("#") else href if href.startswith("data:image/png;") else "#"


def _clean(element: Element, ids: dict[str, str], classes: StyleClasses) -> None:
    """HTML's names, no style, no white space; ids that nothing refers to go."""
    element.tag = element.tag.removeprefix(SVG)
    element.text = element.tail = None
    given, element.attrib = element.attrib, {}
    for key, value in given.items():
        renamed = REFERENCE.sub(lambda found: f"url(#{ids[found[1]]})", value)
        if key == "style":
            element.set("class", classes.name(renamed))
        elif key == f"{XLINK}href":
            element.set("href", _address(value, ids))
        elif key == "id":
            element.attrib |= {"id": ids[value]} if value in ids else {}
        else:
            element.set(key, " ".join(renamed.split()) if key == "d" else renamed)
