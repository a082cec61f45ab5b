"""What a launch finds on this machine: a folder to write to, a tracker's package."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config.schema import Execution, Job, TrackerConfig
from pipeline.errors import UserError
from pipeline.runtime.preconditions import check_circumstances, check_tracker


def job(sweeps_dir: Path, sweep_name: str = "adhoc", tracker: str = "none") -> Job:
    return Job(SimpleNamespace(), Execution(sweeps_dir=str(sweeps_dir)), TrackerConfig(tracker), sweep_name)


def test_a_folder_that_is_there_or_can_be_made_will_do_and_is_left_as_it_is(tmp_path):
    check_circumstances(job(tmp_path))
    check_circumstances(job(tmp_path / "a" / "b"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("in_the_way", ["runs", "shared", "README.md", "."])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_file_where_a_folder_is_due_is_named(tmp_path, in_the_way, dangling):
    sweeps_dir = tmp_path / "sweeps"
    path = sweeps_dir / in_the_way
    path.parent.mkdir(exist_ok=True)
    if dangling:
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_text("a file")
    with pytest.raises(UserError, match="is not a folder") as raised:
        check_circumstances(job(sweeps_dir, "README.md"))
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("folder", ["/proc", "/proc/x", "/proc/x/y", "/dev/null", "/dev/null/x"])
def test_a_place_that_takes_no_folder_is_named(folder):
    with pytest.raises(UserError, match=r"^execution\.sweeps_dir.*") as raised:
        check_circumstances(job(Path(folder)))
    assert folder in str(raised.value)


def test_a_tracker_needs_its_package(tmp_path, monkeypatch):
    """A folder of that name, as trackers leave where they are used, is no package."""
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="pip install followme"):
        check_tracker(TrackerConfig("followme"))  # type: ignore[arg-type]
    (tmp_path / "followme").mkdir()
    with pytest.raises(UserError, match="pip install followme"):
        check_tracker(TrackerConfig("followme"))  # type: ignore[arg-type]
    (tmp_path / "followme" / "__init__.py").touch()
    check_tracker(TrackerConfig("followme"))  # type: ignore[arg-type]
