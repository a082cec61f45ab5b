"""Train one run, or with -m a grid of them.

python pipeline/run.py architecture=gated site=mlp_out sparsity_coefficient=1
python pipeline/run.py -m sweep=gated_vs_baseline
"""

import sys
from pathlib import Path

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import hydra
from omegaconf import DictConfig

from pipeline.cli import announce_plugins, main_with_plain_errors

announce_plugins()


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def compose_and_train(cfg: DictConfig) -> None:
    """One run, without -m; with it, Hydra's launcher takes this place (pipeline/hydra_plugins)."""
    from pipeline.config import from_hydra
    from pipeline.launch import launch

    if not launch([from_hydra(cfg)], most=1, plan_only=bool(cfg.plan)):
        raise SystemExit(1)


def main() -> None:
    main_with_plain_errors(compose_and_train)


if __name__ == "__main__":
    main()
