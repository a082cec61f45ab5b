"""Names of the files and folders that runs and sweeps leave: sweeps/README.md describes each."""

from pathlib import Path

METRICS, SEQUENCES, HISTORY, FAILURE, EXECUTION = (
    "metrics.json", "sequences.safetensors", "history.csv", "failure.json", "execution.json",
)  # fmt: skip
WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
SETTINGS = "config.yaml"
SHARED = "shared"


def shared_folder(sweeps_dir: Path) -> Path:
    """Where references live: losses that many runs share, named by hash."""
    return sweeps_dir / SHARED
