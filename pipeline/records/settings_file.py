"""A run's config.yaml as text, and what is wrong with it. It is for people: nothing is computed from it."""

from pathlib import Path

from pipeline.errors import DamagedFile
from pipeline.storage.files import digest
from pipeline.storage.reading import DIFFERS, GONE, other_run, read_bytes

SETTINGS_RUN = "# run: "
"""Prefix of the line of config.yaml that names its run; older files have none."""
SETTINGS_CHECKSUM = "# sha256 of the lines above: "
"""Prefix of the last line of config.yaml."""


def settings_text(content: str, run: str) -> str:
    """config.yaml with its run's name and its checksum, as comments."""
    content = f"{content}{SETTINGS_RUN}{run}\n"
    return f"{content}{SETTINGS_CHECKSUM}{digest(content.encode())}\n"


def settings_fault(path: Path) -> str:
    """What is wrong with config.yaml; empty where nothing is."""
    try:
        content, found, stated = read_bytes(path).rpartition(SETTINGS_CHECKSUM.encode())
    except FileNotFoundError:
        return GONE
    except DamagedFile as error:
        return error.why
    if not found or stated != f"{digest(content)}\n".encode():
        return DIFFERS
    _, named, run = content.decode().rpartition(f"\n{SETTINGS_RUN}")
    return other_run({"run": run.rstrip("\n")}, path.parent) if named else ""
