"""Bring what a run or a sweep reads from the Hugging Face hub to its cache; on a login node, for nodes without the hub.

python pipeline/prefetch.py model=gpt2 data=pile
python pipeline/prefetch.py sweep=figure_12

The overrides are those of run.py. HF_HOME says where the cache is: on a disk that the nodes share.
"""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

from pipeline import run


def main() -> None:
    """As run.py, with a launcher that trains nothing and fetches instead."""
    given = sys.argv[1:]
    if {"-h", "--help"} & set(given):
        print(__doc__.strip())
        return
    kept = [
        a for a in given if a not in {"-m", "--multirun"} and not a.startswith(("hydra/launcher", "hydra.launcher"))
    ]
    sys.argv[1:] = ["-m", *kept, "hydra/launcher=prefetch"]
    run.main()


if __name__ == "__main__":
    main()
