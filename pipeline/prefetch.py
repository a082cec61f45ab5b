"""Entry point: download what runs read from the hub. `python pipeline/prefetch.py --help` says how."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

from pipeline import run
from pipeline.cli.hydra_main import fetch_overrides
from pipeline.runtime import streams
from pipeline.storage.places import door

USAGE = f"""\
usage: {door("prefetch")} OVERRIDES

Downloads what a run or a sweep reads from the Hugging Face hub to the hub's cache. Use it on a login node, for nodes
that cannot reach the hub. The overrides are those of {door("run")}. Set HF_HOME to a disk that the nodes share.

  {door("prefetch")} model=gpt2 data=pile
  {door("prefetch")} sweep=figure_12"""


def main() -> None:
    """As run.py, with a launcher that trains nothing and fetches instead."""
    given = sys.argv[1:]
    if {"-h", "--help"} & set(given):
        streams.prepare()
        print(USAGE)
        return
    run.start(["-m", *fetch_overrides(given)], more=("hydra/launcher=fetch",))


if __name__ == "__main__":
    main()
