"""What every part of the benchmarks takes from the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.cli.options import key_values, true_or_false
from pipeline.runtime.device import available_cores
from pipeline.storage.places import BASE


@dataclass(frozen=True)
class Options:
    """quick: few repetitions, for development; out: where CSVs and figures go."""

    quick: bool
    threads: int
    device: str
    out: Path

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Options":
        """key=value arguments; sets torch's threads."""
        given = key_values(arguments, ("quick", "threads", "device", "out"))
        threads = int(given.get("threads", available_cores()))
        torch.set_num_threads(threads)
        quick = true_or_false("quick", given.get("quick", "false"))
        out = Path(given.get("out", BASE / "results" / "benchmarks"))
        return cls(quick, threads, given.get("device", "cpu"), out)

    def fewer(self, repeats: int, in_quick: int) -> int:
        return in_quick if self.quick else repeats
