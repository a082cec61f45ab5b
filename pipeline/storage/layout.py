"""Names of the files and folders that runs and sweeps leave, and where each lies; sweeps/README.md describes them.

sweeps_dir/runs/<run>/              one folder per run
sweeps_dir/<sweep>/                 one folder per sweep: what it declares, and its launches
sweeps_dir/shared/                  losses that many runs refer to, named by hash
"""

from pathlib import Path

RUNS, SHARED = "runs", "shared"
"""Folders next to those of sweeps: no sweep has these names."""

METRICS, SEQUENCES, HISTORY, FAILURE, EXECUTION = (
    "metrics.json", "sequences.safetensors", "history.csv", "failure.json", "execution.json",
)  # fmt: skip
WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
SETTINGS, LOG, PROGRESS = "config.yaml", "log.txt", "progress.json"
CHECKPOINTS = "checkpoints"
EVALUATION = "evaluation-"
"""Prefix of a folder in a run's folder: the record of a second evaluation."""

MANIFEST, TASKS = "manifest.json", "tasks.json"
PACKS, OUTCOMES, LOGS, SLURM_LOGS, BLOCKS = "packs", "outcomes", "logs", "slurm", "blocks"

LEASE = "lease.json"
"""In a run's folder and in a sweep's."""
CLAIM = ".lease-{number}.claim"
UNFINISHED, FENCED = ".unfinished-", ".fenced-"
"""Prefixes of folders inside a leased folder: for the files that a process has not finished, and those taken from an
earlier process."""
ASIDE, TEMPORARY = ".aside", ".tmp"
"""Suffixes of a folder that was in the place of a file, and of a file that is being written."""


def runs_folder(sweeps_dir: Path) -> Path:
    return sweeps_dir / RUNS


def run_folder(sweeps_dir: Path, run: str) -> Path:
    """
    Args:
        run: its name, which its identity decides (`pipeline.records.identity`).
    """
    return sweeps_dir / RUNS / run


def sweeps_dir_of(run_folder: Path) -> Path:
    return run_folder.parent.parent


def sweep_folder(sweeps_dir: Path, sweep: str) -> Path:
    return sweeps_dir / sweep


def shared_folder(sweeps_dir: Path) -> Path:
    """Where references live: losses that many runs share, named by hash."""
    return sweeps_dir / SHARED


def checkpoints_folder(run_folder: Path) -> Path:
    return run_folder / CHECKPOINTS


def evaluation_folder(run_folder: Path, evaluation: str) -> Path:
    """Where the record of a second evaluation lies; the first lies in the run's folder itself."""
    return run_folder / f"{EVALUATION}{evaluation}"


def pack_file(pack: str) -> str:
    """Relative to the sweep's folder.

    Args:
        pack: hash of the file's content.
    """
    return f"{PACKS}/{pack}.json"
