"""Train one run, or with -m a grid of them: `python pipeline/run.py -m sweep=gated_vs_baseline`."""

import os
import sys

if __package__ in {None, ""}:  # run as a script: this folder is first on the path, where the repository belongs
    # pathlib would import modules that this folder may shadow; os is loaded already
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline.cli import groups
from pipeline.cli.command_line import check_command_line
from pipeline.cli.hydra_main import announce_plugins, plain_errors, with_homes
from pipeline.cli.sweep_files import check_files
from pipeline.runtime import environment, streams  # noqa: F401  environment: before torch
from pipeline.storage.places import door

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises instead of printing; `plain_errors` prints one line
announce_plugins()


def train(cfg: DictConfig) -> None:
    """One run, without -m; with it, Hydra's launcher takes this place (pipeline/hydra_plugins)."""
    from pipeline.cli.validate import from_hydra, launcher_options

    with plain_errors():  # here too: Hydra would add a line of its own
        launcher_options(HydraConfig.get().launcher)  # one run needs none, and a wrong one is a mistake all the same
        job = from_hydra(cfg)
        from pipeline.launching.launch import launch

        if not launch([job], plan_only=job.plan, extend=job.extend):
            raise SystemExit(1)


def start(arguments: list[str], more: tuple[str, ...] = ()) -> None:
    """Check a user's arguments and the files they name, then hand them to Hydra, with `more` behind them."""
    streams.prepare(_goes_on)
    with plain_errors():
        checked = check_command_line(with_homes(arguments), door("run"))
        check_files([argument for argument in checked if "=" in argument])
        sys.argv[1:] = [*checked, *more]
        hydra.main(version_base="1.3", config_path=str(groups.FOLDERS[0]), config_name="config")(train)()


def main() -> None:
    start(sys.argv[1:])


def _goes_on(error: OSError) -> None:
    print(f"standard output cannot be written ({error.strerror}): work continues without it", file=sys.stderr)


if __name__ == "__main__":
    main()
