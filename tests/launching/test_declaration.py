"""What a further command under the same sweep_name does to the runs that an earlier one declared."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from pipeline.cli.hydra_main import announce_plugins
from pipeline.cli.validate import from_hydra
from pipeline.config.schema import Job
from pipeline.errors import UserError
from pipeline.records import manifest
from pipeline.records.manifest import declare, declared
from pipeline.storage.places import CONF

announce_plugins()


@pytest.fixture
def jobs(tmp_path):
    """Jobs of the sweep `mine` with these settings, one for each of these seeds."""

    def make(*words: str, seeds: tuple[int, ...] = (0,)) -> list[Job]:
        given = [f"execution.sweeps_dir={tmp_path}", "sweep_name=mine", *words]
        return [from_hydra(compose("config", [*given, f"seed={seed}"])) for seed in seeds]

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield make


def seeds(path: Path) -> list[int]:
    return [entry["settings"]["seed"] for entry in json.loads(path.read_text())["runs"]]


def test_more_runs_replace_fewer_and_fewer_are_refused_unless_they_extend(jobs):
    declare(jobs(seeds=(0, 1)), "first")
    path = declare(jobs(seeds=(1, 0, 2)), "more")
    assert seeds(path) == [1, 0, 2]
    before = path.read_bytes()
    for call in (declare, lambda jobs, _: declared(jobs)):
        with pytest.raises(
            UserError, match=r"^sweep_name=mine has 2 runs .* drop, for example bundled-.*seed1-.*extend=true.*NAME$"
        ):
            call(jobs(seeds=(2, 3)), "other")
    assert path.read_bytes() == before
    assert seeds(declare(jobs(seeds=(2, 3)), "extended", extend=True)) == [1, 0, 2, 3]


def test_another_evaluation_takes_the_place_of_the_first(jobs):
    declare(jobs(), "first")
    runs = json.loads(declare(jobs("eval=pruning"), "again").read_text())["runs"]
    assert len(runs) == 1 and runs[0]["settings"]["eval"]["prune_below"]


def test_runs_outside_sweeps_gather(jobs):
    declare(jobs("sweep_name=adhoc"), "first")
    assert seeds(declare(jobs("sweep_name=adhoc", seeds=(1, 2)), "second")) == [0, 1, 2]


def test_another_version_names_the_same_settings_differently(jobs):
    """Runs of before are known by their settings, also where a version adds one; others are kept or refused as ever."""
    path = declare(jobs(seeds=(0, 1)), "first")
    content = json.loads(path.read_text())
    del content["sha256"], content["version"]
    for entry in content["runs"]:
        entry["run"] = f"of-before-{entry['run']}"
        del entry["settings"]["train"]["encoder_norm"]
        entry["settings"]["train"]["of_before"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"has 1 runs .* for example of-before-.*seed1-"):
        declared(jobs(seeds=(0,)))
    with pytest.raises(UserError, match="has 2 runs"):
        declared(jobs("train.lr=0.5", seeds=(0, 1)))
    assert seeds(declare(jobs("architecture=gated", seeds=(0, 1, 2)), "upgraded")) == [0, 1, 2]
    assert json.loads(path.read_text())["version"] == manifest.TRAINING_VERSION


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": 3}', "{", '{"runs": [], "sha256": "wrong"}'])
def test_a_damaged_manifest_is_written_anew(jobs, content, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text(content)
    assert seeds(declare(jobs(), "first")) == [0]
