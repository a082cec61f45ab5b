"""A user's own conf/, in the working directory of an installed package: what is chosen from it is there only."""

import re
from collections.abc import Sequence

from pipeline.errors import UserError
from pipeline.storage.places import CONF_FOLDERS


def check_choices(overrides: Sequence[str]) -> None:
    """Refuse a choice (`sweep=mine`) that two folders answer: Hydra would take the package's in silence.

    Raises:
        UserError: it names both files.
    """
    for override in overrides:
        choice = re.fullmatch(r"\+?([\w/]+)=([\w.-]{1,200})", override)
        files = [folder / choice[1] / f"{choice[2]}.yaml" for folder in CONF_FOLDERS] if choice else []
        there = [file for file in files if file.is_file()]
        if len(there) > 1:
            raise UserError(f"{override} is {there[0]}, but {there[1]} has the same name: rename yours")
