"""What every part of the benchmarks takes from the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.arguments import key_values, true_or_false
from pipeline.config import REPOSITORY
from pipeline.errors import UserError
from pipeline.execution import available_cores

PEERS = ("SAELens", "dictionary_learning")


@dataclass(frozen=True)
class Options:
    """quick: few repetitions, for development; out: where CSVs and figures go; peers: whom the grid runs beside us."""

    quick: bool
    threads: int
    device: str
    out: Path
    peers: tuple[str, ...] = PEERS

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Options":
        """key=value arguments; sets torch's threads."""
        given = key_values(arguments, ("quick", "threads", "device", "out", "peers"))
        threads = int(given.get("threads", available_cores()))
        torch.set_num_threads(threads)
        quick = true_or_false("quick", given.get("quick", "false"))
        out = Path(given.get("out", REPOSITORY / "results" / "benchmarks"))
        peers = tuple(given["peers"].split(",")) if "peers" in given else PEERS
        if unknown := [peer for peer in peers if peer not in PEERS]:
            raise UserError(f"peers={unknown[0]} is unknown; accepted: {', '.join(PEERS)}")
        return cls(quick, threads, given.get("device", "cpu"), out, peers)

    def fewer(self, repeats: int, in_quick: int) -> int:
        return in_quick if self.quick else repeats
