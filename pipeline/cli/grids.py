"""A sweep as a union of grids: what one may hold, and how many runs it has before any is written out."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.command_line import is_per_launch
from pipeline.cli.groups import groups, setting_hints, setting_keys
from pipeline.cli.user_files import FileList, FileMapping
from pipeline.config.checked import checked
from pipeline.config.hints import hint
from pipeline.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MOST_RUNS = 10_000
"""Per launch: each takes 4 ms to compose, check and place in a pack."""
EXAMPLE = "a list as [{architecture: [gated, baseline], sparsity_coefficient: [1, 2]}]"


def check_grids(params: Any, grids: Any, sweeper: Any = None) -> None:
    """Refuse what is no union of grids.

    Args:
        sweeper: where the two come from a file, the mapping that holds them, for their lines.

    Raises:
        UserError: a grid, or what is multiplied into all, is no mapping of settings to values.
    """
    if not isinstance(params, Mapping):
        raise UserError(
            f"{where(sweeper, 'params')}params is {params!r:.80}, not a mapping: expected settings, as {{seed: [0, 1]}}"
        )
    if not isinstance(grids, list):
        raise UserError(f"{where(sweeper, 'grids')}grids is {grids!r:.80}, not a list: expected {EXAMPLE}")
    if not grids:
        raise UserError(f"{where(sweeper, 'grids')}grids is empty: expected {EXAMPLE}")
    check_grid(params)
    for index, grid in enumerate(grids):
        if not isinstance(grid, Mapping):
            raise UserError(f"{where(grids, index)}{grid!r:.80} is not a grid: expected {EXAMPLE}")
        check_grid(grid)


def check_grid(grid: Mapping[str, Any]) -> None:
    for key, value in grid.items():
        at = where(grid, key)
        check_key(str(key), at)
        if isinstance(value, Mapping):
            inner = next(iter(value), "KEY")
            raise UserError(f"{at}{key} holds a mapping: expected its keys in full, as {key}.{inner}: [1, 2]")
        if isinstance(value, list) and not value:
            raise UserError(f"{at}{key} has no values: expected at least one, as {key}: [1, 2]")
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, list | str):  # text may be Hydra's syntax of sweeps
                check_value(each, str(key), at)


def check_value(value: Any, key: str, at: str) -> None:
    """A setting's value in a file; one that refers to others is known when all is composed, an architecture's too."""
    found = setting_hints().get(key.lstrip("+"))
    if found is not None and "${" not in str(value) and key not in groups():
        checked(value, found, f"{at}{key}")


def check_key(key: str, at: str) -> None:
    """One key of a grid: a setting, or a group to choose from, that may differ between runs."""
    bare = key.lstrip("+")
    if is_per_launch(bare):
        raise UserError(f"{at}{bare} is the same for all runs of a launch: give it outside the grids")
    known = [*groups(), *setting_keys()]
    if bare not in known and not key.startswith("+"):
        raise UserError(f"{at}{key} is not a setting{hint(key, siblings(key), setting_keys())}")
    if not re.fullmatch(r"\+{0,2}[\w-]+(\.[\w-]+)*", key):
        raise UserError(f"{at}{key} is not the key of a setting: expected one as train.lr")


def siblings(key: str) -> list[str]:
    """Settings of the section that a key names, or those outside all sections; all where there is none of that name."""
    section = key.lstrip("+").rpartition(".")[0]
    return [each for each in setting_keys() if each.rpartition(".")[0] == section] or setting_keys()


def where(node: Any, key: Any) -> str:
    """Where an item of a file stands; nothing of an item that came from the command line."""
    if isinstance(node, FileMapping):
        return node.where.get(key, "")
    return node.where[key] if isinstance(node, FileList) else ""


def count(overrides: Sequence["Override"]) -> int | float:
    """Runs of one grid: the product of its keys' values, of which the last given of each key counts."""
    sizes = {override.get_key_element(): _values(override) for override in overrides}
    return math.prod(sizes.values())


def check_count(runs: float) -> None:
    if runs > MOST_RUNS:
        many = f"{runs:,.0f}" if runs < 1e15 else f"{runs:.0e}"
        raise UserError(
            f"this launch has {many} runs, but at most {MOST_RUNS:,} are allowed: "
            "give fewer values, or launch several times"
        )


def _values(override: "Override") -> int | float:
    if not override.is_sweep_override():
        return 1
    line = override.input_line
    if not override.is_discrete_sweep():
        raise UserError(f"{line} names no values: expected choice(...), range(...), or values with commas between them")
    found = _range(override) if override.is_range_sweep() else sum(1 for _ in override.sweep_iterator())
    if not found:
        raise UserError(f"{line} has no values: expected at least one")
    return found


def _range(override: "Override") -> int | float:
    from hydra.core.override_parser.types import RangeSweep

    sweep = override.value()
    assert isinstance(sweep, RangeSweep) and sweep.start is not None and sweep.stop is not None
    if not sweep.step or not all(map(math.isfinite, (sweep.start, sweep.stop, sweep.step))):
        raise UserError(f"{override.input_line} has no end: expected range(first, end, step)")
    if all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step)):
        return max(0, -int((sweep.start - sweep.stop) // sweep.step))
    return max(0, math.ceil((sweep.stop - sweep.start) / sweep.step))
