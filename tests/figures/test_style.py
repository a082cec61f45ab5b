"""Looks: told apart without colour, in grey and by the colour-blind; the same in every figure."""

import numpy as np
import pytest
from matplotlib import colors

from pipeline.figures import style

MANY = [f"gated_variant_{number}" for number in range(20)]


def grey(look: style.Look) -> float:
    return float(np.dot(colors.to_rgb(look.colour), (0.299, 0.587, 0.114)))


def test_looks_differ_without_colour_and_stay_the_same() -> None:
    gated, baseline = style.look("gated"), style.look("baseline")
    assert gated.marker != baseline.marker and gated.dashes != baseline.dashes and gated.colour != baseline.colour
    assert abs(grey(gated) - grey(baseline)) > 0.2
    assert style.look("something_new") == style.look("something_new")
    assert style.look("something_new") not in (gated, baseline)
    assert gated.lighter(0).colour.lower() == gated.colour.lower() != gated.lighter(1).colour.lower()


@pytest.mark.parametrize("count", [2, 5, 20])
def test_no_two_architectures_of_a_sweep_look_alike(count: int) -> None:
    found = style.looks([*MANY[:count], "gated", "baseline"])
    assert len({(look.colour, look.marker) for look in found.values()}) == count + 2
    assert found["gated"] == style.look("gated") and found["baseline"] == style.look("baseline")
    if count == 5:
        assert len({look.colour for look in found.values()}) == 7
        assert len({look.marker for look in found.values()}) == 7
    assert style.looks(reversed([*MANY[:count], "gated", "baseline"])) == found


def test_one_unknown_architecture_looks_as_its_name_says() -> None:
    assert style.looks(["gated", "topk"])["topk"] == style.look("topk")


def test_shades_of_an_arm_darken_with_lambda() -> None:
    for architecture in ("gated", "baseline"):
        greys = [grey(style.look(architecture).shaded(place)) for place in (0, 0.25, 0.5, 0.75, 1)]
        assert all(np.diff(greys) < -0.02)
        assert style.look(architecture).shaded(0.5).colour.lower() == style.look(architecture).colour.lower()
