"""What disks do: damaged, cut and missing files, no room, no right to write. The right result or the right line."""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import DamagedFile, Interrupted, NotWritable, UserError
from pipeline.launching.tasks import TaskTable, read_pack
from pipeline.records import record
from pipeline.records.identity import evaluation_identity, run_name
from pipeline.records.status import read_run
from pipeline.records.sweep import on_disk
from pipeline.sae.saved import load_sae
from pipeline.storage.reading import read_arrays, read_safetensors
from tests.factories import jobs
from tests.kills.victim import runs, train
from tests.launching.sweeps import ROOT, arguments, assert_same_runs, finish, launch, start
from tests.shared import shared_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two(tiny_model, tiny_text):
    """A gated run and a baseline."""
    return runs(tiny_model, tiny_text)[1:3]


@pytest.fixture(scope="module")
def undisturbed(two, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(two, folder)
    return folder


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def change_a_digit(path: Path) -> None:
    """What is left is JSON, and looks right: the last digit of a number of at least two."""
    content = path.read_text()
    at = max(found.end() for found in re.finditer(r": \d[\d.]*\d", content)) - 1
    path.write_text(content[:at] + str((int(content[at]) + 1) % 10) + content[at + 1 :])


DAMAGES = [flip_a_bit, cut_in_half]


def interrupted(two, folder: Path) -> list[Path]:
    """Both runs stopped with two checkpoints each; the run folders."""

    class StopInBlockFour(threading.Event):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 150

    with pytest.raises(Interrupted):
        train(two, folder, StopInBlockFour())
    folders = [record.run_folder(folder, run) for run in two]
    assert all(len(list(f.glob("checkpoints/*.json"))) == 2 for f in folders)
    return folders


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(two, undisturbed, tmp_path, damage, suffix, capsys):
    for folder in interrupted(two, tmp_path):
        newest = sorted(folder.glob(f"checkpoints/*.{suffix}"))[-1]
        damage(newest)
    train(two, tmp_path)
    assert "the one before it is used" in capsys.readouterr().err
    assert_same_runs(undisturbed, tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_trained_again_and_never_evaluated(two, undisturbed, tmp_path, damage: Callable):
    train(two, tmp_path)
    folder = record.run_folder(tmp_path, two[1])
    (folder / record.METRICS).unlink()
    damage(folder / "sae_weights.safetensors")
    with pytest.raises((DamagedFile, UserError), match=r"its checksum differs|bytes instead"):
        load_sae(folder)
    train(two, tmp_path)
    assert_same_runs(undisturbed, tmp_path)


@pytest.mark.parametrize("recorded", [True, False])
def test_half_a_history_retrains_nothing(two, undisturbed, tmp_path, recorded, capsys):
    """It is only named: the weights are whole, and so is what was measured of them."""
    train(two, tmp_path)
    folder = record.run_folder(tmp_path, two[1])
    cut_in_half(folder / record.HISTORY)
    if not recorded:
        (folder / record.METRICS).unlink()
    assert on_disk(tmp_path, two[1]).status == ("done" if recorded else "begun")
    if recorded:
        (line,) = [line for line in capsys.readouterr().err.splitlines() if folder.name in line]
        assert "history.csv: it has" in line and "training curves lack it" in line
    weights = (folder / "sae_weights.safetensors").stat().st_mtime_ns
    half = (folder / record.HISTORY).read_bytes()
    train(two, tmp_path)
    assert (folder / "sae_weights.safetensors").stat().st_mtime_ns == weights
    assert (folder / record.HISTORY).read_bytes() == half
    shutil.copy(record.run_folder(undisturbed, two[1]) / record.HISTORY, folder)
    assert_same_runs(undisturbed, tmp_path)


def test_half_a_cfg_json_is_written_again(two, undisturbed, tmp_path):
    train(two, tmp_path)
    folder = record.run_folder(tmp_path, two[1])
    (folder / record.METRICS).unlink()
    cut_in_half(folder / "cfg.json")
    train(two, tmp_path)
    assert_same_runs(undisturbed, tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_references_are_computed_again(two, undisturbed, tmp_path, damage, capsys):
    train(two, tmp_path)
    (record.run_folder(tmp_path, two[0]) / record.METRICS).unlink()
    shared = sorted(record.shared_folder(tmp_path).glob("*.safetensors"))
    for path in shared:
        damage(path)
    train(two, tmp_path)
    assert capsys.readouterr().err.count("computed again") == len(shared) == 2
    assert_same_runs(undisturbed, tmp_path)
    for path in shared:
        assert path.read_bytes() == (record.shared_folder(undisturbed) / path.name).read_bytes()


@pytest.mark.parametrize("damage", [*DAMAGES, change_a_digit])
def test_a_damaged_record_is_no_record(two, undisturbed, tmp_path, damage, capsys):
    """Neither to training, which evaluates again, nor to aggregation, which would draw a wrong number."""
    train(two, tmp_path)
    folder = record.run_folder(tmp_path, two[0])
    damage(folder / record.METRICS)
    assert on_disk(tmp_path, two[0]).status == "begun" and on_disk(tmp_path, two[1]).status == "done"
    entry = {"run": folder.name, "evaluation": evaluation_identity(two[0])}
    seen = read_run(folder.parent, entry)
    assert seen.record is None and seen.damaged and "cannot be read" in capsys.readouterr().err
    train(two, tmp_path)
    assert_same_runs(undisturbed, tmp_path)
    assert read_run(folder.parent, entry).record is not None


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_sequences_are_seen_by_who_reads_them(two, tmp_path, damage):
    train(two[:1], tmp_path)
    path = record.run_folder(tmp_path, two[0]) / record.SEQUENCES
    whole = read_safetensors(path)
    arrays = read_arrays(path)
    assert {"l0", "ce_sae"} <= set(whole) == set(arrays)
    assert all((arrays[name] == tensor.numpy()).all() for name, tensor in whole.items())
    damage(path)
    for read in (read_safetensors, read_arrays):
        with pytest.raises(DamagedFile, match=path.name):
            read(path)


@pytest.mark.parametrize("damage", [*DAMAGES, change_a_digit])
def test_a_damaged_task_table_is_an_empty_one_and_said_to_be(two, tmp_path, damage, capsys):
    table = TaskTable(tmp_path)
    (job,) = jobs(two[:1], tmp_path)
    pack = table.add_pack(two, job, job.execution)
    table.add(pack, "local").submitted = 1234.5
    table.save()
    assert len(TaskTable.read(tmp_path).tasks) == 1 and not capsys.readouterr().err
    damage(tmp_path / "tasks.json")
    assert TaskTable.read(tmp_path).tasks == [] and "tasks.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [*DAMAGES, change_a_digit])
def test_a_damaged_pack_file_is_refused_and_written_anew(two, tmp_path, damage):
    (job,) = jobs(two[:1], tmp_path)
    name = TaskTable(tmp_path).add_pack(two, job, job.execution)
    assert [run_name(run) for run in read_pack(tmp_path / name).runs] == [run_name(run) for run in two]
    damage(tmp_path / name)
    with pytest.raises(UserError, match="damaged"):
        read_pack(tmp_path / name)
    TaskTable(tmp_path).add_pack(two, job, job.execution)
    assert len(read_pack(tmp_path / name).runs) == 2


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_half_file(two, undisturbed, tmp_path):
    small = tmp_path / "small"
    with mounted(small, "size=400k"):
        with pytest.raises(NotWritable, match=r"No space left on device.*make room") as raised:
            train(two, small)
        assert "\n" not in str(raised.value) and not list(small.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        train(two, small)
        assert_same_runs(undisturbed, small)


def test_a_read_only_folder_is_one_line(two, tmp_path):
    fixed = tmp_path / "fixed"
    with mounted(fixed, "ro"), pytest.raises(NotWritable, match=r"Read-only file system.*make it writable") as raised:
        train(two, fixed)
    assert "\n" not in str(raised.value)


def sweep_of(model: Path, text: Path, folder: Path, *more: str) -> list[str]:
    """A checkpoint after every block."""
    words = arguments(model, text, folder, *more, steps=90)
    return [word.replace("checkpoint_seconds=0.5", "checkpoint_seconds=0") for word in words]


@pytest.fixture(scope="module")
def swept(tiny_model, tiny_text, tmp_path_factory) -> Path:
    """A sweep of four runs as the command line leaves it. Read it, and leave it as it is."""

    def fill(folder: Path) -> None:
        code, output = launch(sweep_of(tiny_model, tiny_text, folder))
        assert code == 0, output

    return shared_folder(tmp_path_factory, "swept", fill)


def small_command(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"pipeline/{name}.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_sweep_with_every_file_of_its_launch_cut_in_half_is_launched_again(swept, tiny_model, tiny_text, tmp_path):
    folder = tmp_path / "sweeps"
    shutil.copytree(swept, folder)
    ruined = [folder / "tiny" / "manifest.json", folder / "tiny" / "tasks.json", *folder.glob("tiny/packs/*.json")]
    records = sorted(folder.glob("runs/*/metrics.json"))
    for path in [*ruined, records[0], records[1].with_name("failure.json")]:
        path.write_bytes(path.read_bytes() if path.is_file() else b'{"error": "Tr')
        cut_in_half(path)
    records[1].unlink()
    for name, more in (("status", ()), ("plot_pareto", (f"results_dir={tmp_path}/results",)), ("clean", ())):
        done = small_command(name, f"sweeps_dir={folder}", *more)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, (name, done.stdout, done.stderr)
        assert "manifest.json cannot be read" in done.stderr and not (tmp_path / "results").exists()
    words = sweep_of(tiny_model, tiny_text, folder, "hydra.launcher.slots=1", "execution.retry_failed=true")
    code, output = launch(words)
    assert code == 0 and "Traceback" not in output, output
    assert_same_runs(swept, folder)
    assert "4 done" in small_command("status", f"sweeps_dir={folder}").stdout


def test_half_a_failure_record_says_nothing_and_the_run_is_tried_again(swept, tiny_model, tiny_text, tmp_path):
    folder = tmp_path / "sweeps"
    shutil.copytree(swept, folder)
    run = sorted(folder.glob("runs/*"))[0]
    (run / "metrics.json").unlink()
    (run / "failure.json").write_text('{"error": "TrainingDiv')
    code, output = launch(sweep_of(tiny_model, tiny_text, folder))
    assert "Traceback" not in output and code == 0, output
    assert_same_runs(swept, folder)


def test_two_launches_at_the_same_instant(swept, tiny_model, tiny_text, tmp_path):
    """One trains; the other says so in one line, or comes when all is done."""
    both = [start(sweep_of(tiny_model, tiny_text, tmp_path)) for _ in range(2)]
    ended = sorted(finish(process) for process in both)
    assert [code for code, _ in ended] in ([0, 0], [0, 2]), ended
    for code, output in ended:
        assert "Traceback" not in output, output
        assert code == 0 or (len(output.strip().splitlines()) == 1 and "is being launched by process" in output), output
    assert_same_runs(swept, tmp_path)
    assert all(" 1 runs in its pack" not in log.read_text() for log in tmp_path.glob("runs/*/log.txt"))


def test_disks_that_cannot_be_written_are_one_line_of_the_command(swept, tiny_model, tiny_text, tmp_path):
    place = tmp_path / "place"
    with mounted(place, "ro"):
        code, output = launch(sweep_of(tiny_model, tiny_text, place))
        assert code == 2 and "make it writable" in output.strip().splitlines()[-1], output
        assert "Traceback" not in output and len(output.strip().splitlines()) == 1, output
    with mounted(place, "size=700k"):  # what is kept would fit: it is while they train that there is no room
        code, output = launch(sweep_of(tiny_model, tiny_text, place))
        assert code != 0 and "Traceback" not in output and "make room" in output, output
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        code, output = launch(sweep_of(tiny_model, tiny_text, place))
        assert code == 0, output
        assert_same_runs(swept, place)
