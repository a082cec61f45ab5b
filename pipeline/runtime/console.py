"""Where people read: the terminal as wide as it is, or a log file wide enough for a table."""

import sys

from rich.console import Console

LOG_WIDTH = 160


def console() -> Console:
    """Prints text as it is: names that users gave may look like markup."""
    return Console(
        soft_wrap=True, highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else LOG_WIDTH
    )
