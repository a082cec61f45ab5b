"""Every file that runs and sweeps leave, in every way a file can be wrong: one line names it, and it is made whole.

Each kind of damage is done to a copy of a finished and of an interrupted sweep, to another file in each run, so that
one launch, with training where it takes that, meets them all.
"""

import functools
import math
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import clean, status
from pipeline.analysis.table import read_sweep
from pipeline.comparison.compare import panels
from pipeline.config.launcher import LocalOptions
from pipeline.config.schema import RunConfig
from pipeline.errors import DamagedFile, Interrupted, UserError
from pipeline.figures.figure_training import _history
from pipeline.launching import launch as launching
from pipeline.launching.executors.this_process import ThisProcess
from pipeline.launching.launch import launch
from pipeline.pack import pack
from pipeline.records import record
from pipeline.records.finished import read_attempts
from pipeline.records.identity import run_name
from pipeline.records.status import read_sweep_on_disk, reason
from pipeline.records.sweep import on_disk
from pipeline.records.verify import verify
from pipeline.sae.saved import load_sae
from pipeline.storage.files import digest, write_checksummed
from pipeline.training.checkpoint import read_checkpoint, step_of
from tests.factories import jobs
from tests.kills.victim import runs
from tests.launching.sweeps import SAME, content

SWEEP = "damaged"
OF_RUN = (
    "config.yaml", "cfg.json", "sae_weights.safetensors", "metrics.json", "sequences.safetensors", "history.csv",
    "execution.json", "log.txt",
)  # fmt: skip
OF_TRAINING = (
    "config.yaml", "checkpoints/newest.json", "checkpoints/newest.safetensors", "lease.json", "progress.json",
    "log.txt", "failure.json",
)  # fmt: skip
OF_SWEEP = ("manifest.json", "tasks.json", "lease.json", "packs/*.json")
SECONDS = 60


def flip(path: Path) -> None:
    found = bytearray(path.read_bytes())
    found[len(found) // 2] ^= 1
    path.write_bytes(found)


def in_its_place(put: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        put(path)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": flip,
    "foreign": lambda path: path.write_bytes(b"\xff\xfe\x00PNG\r\n" * 20),
    "null": lambda path: path.write_text("null"),
    "list": lambda path: path.write_text("[1, 2]"),
    "object": lambda path: path.write_text("{}"),
    "nested": lambda path: path.write_text("[" * 100_000 + "]" * 100_000),
    "gone": in_its_place(lambda path: None),
    "folder": in_its_place(lambda path: (path.mkdir(), (path / "x").write_text("x"))),
    "link": in_its_place(lambda path: path.symlink_to("nowhere")),
    "pipe": in_its_place(os.mkfifo),
}
LAUNCHED = ("flipped", "folder", "gone")
"""Kinds after which the command is given again: for the others it is only seen what it would do, which is the same."""


def is_silent(path: Path, damage: str) -> bool:
    """Whether nothing is wrong, or nobody could tell: a log is free text, and a lease is watched by its process."""
    if damage == "gone" and path.suffix in {".json", ".yaml"} and path.name not in {"cfg.json", "execution.json"}:
        return path.suffix == ".json" or not (path.parent / "metrics.json").exists()
    return path.name == "log.txt" or (damage == "flipped" and path.name in {"lease.json", "progress.json"})


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    """A pipe that somebody reads from would wait for ever."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not at its end after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """Packs are trained here, and the tiny model is loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "choose_executor", lambda options, execution, _: ThisProcess(options, execution))
        patch.setattr(pack, "load_language_model", functools.lru_cache(pack.load_language_model))
        yield


@pytest.fixture(scope="module")
def eight(tiny_model: Path, tiny_text: Path) -> list[RunConfig]:
    first = runs(tiny_model, tiny_text)[0]
    short = replace(first, train=replace(first.train, steps=40, resample=replace(first.train.resample, steps=(25,))))
    return [replace(short, sparsity_coefficient=float(value)) for value in range(2, 10)]


def launched(chosen: Sequence[RunConfig], sweeps_dir: Path) -> bool:
    return launch(jobs(chosen, sweeps_dir, SWEEP, retry_failed=True), LocalOptions(poll_seconds=0.01))


@pytest.fixture(scope="module")
def finished(eight: list[RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert launched(eight, folder)
    return folder


@pytest.fixture(scope="module")
def unfinished(eight: list[RunConfig], finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep, stopped in its third block, with two checkpoints a run."""
    folder = tmp_path_factory.mktemp("unfinished")

    class StopInBlockThree(threading.Event):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 310

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThisProcess, "attach", _stopped_by(StopInBlockThree()))
        with pytest.raises(Interrupted):
            launched(eight, folder)
    for run in (folder / "runs").iterdir():
        assert len(list(run.glob("checkpoints/*.json"))) == 2, run
        (run / "progress.json").write_text('{"step": 30, "steps": 40, "time": 1.0}')
    return folder


def _stopped_by(stop: threading.Event) -> Callable[..., None]:
    attach = ThisProcess.attach
    return lambda self, table, progress, _: attach(self, table, progress, stop)


def of_run(folder: Path, run: RunConfig, name: str) -> Path:
    found = folder / "runs" / run_name(run) / name
    return max(found.parent.glob(f"*{found.suffix}")) if found.stem == "newest" else found


def looked_at(sweeps_dir: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """All that the readers say, each of which comes to its end."""
    for arguments in ([], ["verify=true"]):
        status.main([f"sweeps_dir={sweeps_dir}", *arguments])
    clean.main([f"sweeps_dir={sweeps_dir}"])
    try:
        table = read_sweep(sweeps_dir, SWEEP)
        list(panels(table, sweeps_dir, 0))
        drawn = [_history(sweeps_dir, run) is not None for _, run in table[table["status"] == "done"].iterrows()]
        print(f"{len(drawn) - sum(drawn)} done runs without a training curve")
        looked = [(run.entry["run"], state) for run, state in read_sweep_on_disk(sweeps_dir, SWEEP).runs]
        assert list(zip(table["run"], table["status"], strict=True)) == looked, "one definition of a status"
    except UserError as error:
        print(error)
    for run in sorted((sweeps_dir / "runs").glob("*")):
        try:
            load_sae(run)
        except (UserError, DamagedFile) as error:
            assert "\n" not in str(error) and str(run) in str(error)
            print(error)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return captured.out + captured.err


def unnamed(said: str, paths: Sequence[Path], damage: str) -> list[str]:
    """Names of damaged files that nobody named."""
    return [path.name for path in paths if path.name not in said and not is_silent(path, damage)]


def assert_whole(sweeps_dir: Path, finished: Path, but: Sequence[Path] = ()) -> None:
    for run in (finished / "runs").iterdir():
        for name in SAME:
            path = sweeps_dir / "runs" / run.name / name
            if path not in but:
                assert content(path) == content(run / name), path


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_finished_runs(finished, eight, tmp_path, damage, capsys):
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(finished, sweeps_dir)
    damaged = [of_run(sweeps_dir, run, name) for run, name in zip(eight, OF_RUN, strict=True)]
    for path in damaged:
        DAMAGES[damage](path)
    history = next(path for path in damaged if path.name == record.HISTORY)
    trained = (history.parent / "sae_weights.safetensors").stat().st_mtime_ns
    said = looked_at(sweeps_dir, capsys)
    assert not unnamed(said, damaged, damage), said
    assert "1 done runs without a training curve" in said, "that of the damaged history"
    done = [name for run, name in zip(eight, OF_RUN, strict=True) if on_disk(sweeps_dir, run).status == "done"]
    assert done == ["history.csv", "execution.json", "log.txt"]
    if damage not in LAUNCHED:
        return
    assert launched(eight, sweeps_dir)
    assert "Traceback" not in capsys.readouterr().err
    assert_whole(sweeps_dir, finished, but=[history])
    assert (history.parent / "sae_weights.safetensors").stat().st_mtime_ns == trained, "a history retrains nothing"
    left = {line.split()[-1] for line in looked_at(sweeps_dir, capsys).splitlines() if "damaged" in line}
    assert not left & {*SAME}, left


@pytest.mark.parametrize("damage", DAMAGES)
def test_references(finished, eight, tmp_path, damage, capsys):
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(finished, sweeps_dir)
    damaged = sorted((sweeps_dir / "shared").glob("*.safetensors"))
    assert len(damaged) == 2
    for path in damaged:
        DAMAGES[damage](path)
    said = looked_at(sweeps_dir, capsys)
    assert not unnamed(said, damaged, damage), said
    assert {on_disk(sweeps_dir, run).status for run in eight} == {"begun"}
    if damage != "flipped":
        return
    assert launched(eight, sweeps_dir)
    assert_whole(sweeps_dir, finished)
    for path in damaged:
        assert path.read_bytes() == (finished / "shared" / path.name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_sweeps_own_files(finished, eight, tmp_path, damage, capsys):
    """Each alone, since a manifest that cannot be read hides the others; then all at once, and launched again."""
    for name in OF_SWEEP:
        sweeps_dir = tmp_path / name.replace("/", "-")
        shutil.copytree(finished, sweeps_dir)
        (path,) = (sweeps_dir / SWEEP).glob(name)
        DAMAGES[damage](path)
        assert not unnamed(looked_at(sweeps_dir, capsys), [path], damage)
    for name in OF_SWEEP[:3]:  # the pack's file is damaged already
        DAMAGES[damage](sweeps_dir / SWEEP / name)
    assert launched(eight, sweeps_dir)
    assert_whole(sweeps_dir, finished)
    assert "8 done" in looked_at(sweeps_dir, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_unfinished_runs(unfinished, finished, eight, tmp_path, damage, capsys):
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(unfinished, sweeps_dir)
    failed = of_run(sweeps_dir, eight[6], "failure.json")
    record.write_failure(failed.parent, ValueError("x"), 3)
    damaged = [of_run(sweeps_dir, run, name) for run, name in zip(eight, OF_TRAINING, strict=False)]
    newest = [step_of(of_run(sweeps_dir, run, "checkpoints/newest.json")) for run in eight[:3]]
    for path in damaged:
        DAMAGES[damage](path)
    said = looked_at(sweeps_dir, capsys)
    if damage in LAUNCHED[:2]:
        assert launched(eight, sweeps_dir)
        assert_whole(sweeps_dir, finished)
    else:
        for run, last in zip(eight[:3], newest, strict=True):
            assert on_disk(sweeps_dir, run).status == "begun"
            record.start_run(of_run(sweeps_dir, run, "config.yaml").parent, run)
            found = read_checkpoint(of_run(sweeps_dir, run, "checkpoints"))
            assert found and (found[1]["step"] == last) == (run == eight[0])
        assert on_disk(sweeps_dir, eight[6]).status == "begun"
    said += capsys.readouterr().err
    assert not unnamed(said, damaged, damage), said


@pytest.mark.parametrize("place", ["runs", SWEEP, "shared", "run", "run/checkpoints", f"{SWEEP}/packs"])
def test_a_file_where_a_folder_is_due(unfinished, eight, tmp_path, place, capsys):
    """One line that names it."""
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(unfinished, sweeps_dir)
    path = sweeps_dir / place.replace("run/", f"runs/{run_name(eight[0])}/")
    path = sweeps_dir / "runs" / run_name(eight[0]) if place == "run" else path
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("x")
    looked_at(sweeps_dir, capsys)
    try:
        assert not launched(eight, sweeps_dir)
    except UserError as error:
        assert "\n" not in str(error)
        print(error)
    said = capsys.readouterr()
    assert f"{path} is not a folder" in said.out, said.out
    assert "Traceback" not in said.out + said.err


def test_a_look_finds_cut_weights_missing_in_every_table(finished, eight, tmp_path):
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(finished, sweeps_dir)
    DAMAGES["truncated"](of_run(sweeps_dir, eight[0], "sae_weights.safetensors"))
    table = read_sweep(sweeps_dir, SWEEP).set_index("run")
    cut = table.loc[run_name(eight[0])]
    assert cut["status"] == "missing" and "sae_weights.safetensors: it has" in cut["reason"]
    assert math.isnan(cut["l0"]) and list(table["status"]).count("done") == 7


def test_files_of_another_run(finished, eight, tmp_path, capsys):
    """A whole folder, and single files, in the place of another run's: each is named, and its run made whole."""
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(finished, sweeps_dir)
    other = sweeps_dir / "runs" / run_name(eight[7])
    places = [sweeps_dir / "runs" / run_name(run) for run in eight[:6]]
    shutil.rmtree(places[0])
    shutil.copytree(other, places[0], copy_function=shutil.copy)
    alone = dict(zip(places[1:], ("metrics.json", "config.yaml", "execution.json", "history.csv"), strict=False))
    for place, name in alone.items():
        shutil.copy(other / name, place)
    for name in ("cfg.json", "sae_weights.safetensors"):
        shutil.copy(other / name, places[5])
    trained = {place: (place / "sae_weights.safetensors").stat().st_mtime_ns for place in places}
    found = {run.entry["run"]: (state, reason(run, state)) for run, state in read_sweep_on_disk(sweeps_dir, SWEEP).runs}
    why = f"it belongs to another run ({other.name})"
    assert found[places[0].name] == found[places[1].name] == ("missing", f"metrics.json: {why}")
    err = capsys.readouterr().err
    for place in places[:2]:
        assert err.count(f"{place}/metrics.json: {why}") == 1
    assert status.main([f"sweeps_dir={sweeps_dir}", "verify=true"]) == 1
    said = capsys.readouterr().out
    for place, name in [(places[0], "metrics.json"), (places[0], "cfg.json"), *list(alone.items())[:3]]:
        assert f"damaged  {place.name}  {name}: {why}" in said, said
    for place, name in ((places[4], "history.csv"), (places[5], "cfg.json"), (places[5], "sae_weights.safetensors")):
        assert f"damaged  {place.name}  {name}: " in said, said
    assert [on_disk(sweeps_dir, run).status for run in eight[:6]] == ["begun"] * 3 + ["done"] * 2 + ["begun"]
    assert launched(eight, sweeps_dir)
    assert_whole(sweeps_dir, finished, but=[places[4] / "history.csv"])
    again = [place for place in places if (place / "sae_weights.safetensors").stat().st_mtime_ns != trained[place]]
    assert again == [places[0], places[5]], "weights that were their run's are not trained again"
    assert len(read_attempts(places[0])) == 1 and read_attempts(places[3]) == []


def test_a_record_without_names_is_believed(finished, eight, tmp_path):
    """As earlier versions wrote config.yaml and execution.json."""
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(finished, sweeps_dir)
    for run in eight:
        path = of_run(sweeps_dir, run, "config.yaml")
        lines = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#")]
        text = "".join(lines)
        path.write_text(f"{text}# sha256 of the lines above: {digest(text.encode())}\n")
        path = of_run(sweeps_dir, run, "execution.json")
        write_checksummed(path, {"attempts": read_attempts(path.parent)})
    assert {on_disk(sweeps_dir, run).status for run in eight} == {"done"}
    assert verify(sweeps_dir, read_sweep_on_disk(sweeps_dir, SWEEP)) == []


def test_a_checkpoint_of_another_run_is_not_resumed_from(unfinished, eight, tmp_path, capsys):
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(unfinished, sweeps_dir)
    folder = of_run(sweeps_dir, eight[0], "checkpoints")
    shutil.rmtree(folder)
    shutil.copytree(of_run(sweeps_dir, eight[1], "checkpoints"), folder)
    assert read_checkpoint(folder) is None
    assert f"it belongs to another run ({run_name(eight[1])})" in capsys.readouterr().err


@pytest.mark.parametrize("put", ["a file", "a link"])
def test_what_lies_in_the_place_of_a_runs_folder_is_named_once(finished, eight, tmp_path, put, capsys):
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(finished, sweeps_dir)
    path = sweeps_dir / "runs" / run_name(eight[0])
    shutil.rmtree(path)
    path.write_text("x") if put == "a file" else path.symlink_to("nowhere")
    why = f"{path} is {'not a folder' if put == 'a file' else 'a link to nothing, not a folder'}"
    table = read_sweep(sweeps_dir, SWEEP).set_index("run")
    assert table.loc[path.name, "status"] == "missing" and table.loc[path.name, "reason"] == why
    assert status.main([f"sweeps_dir={sweeps_dir}", "verify=true"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"{why}: treated as missing\n" and captured.out.count(f"damaged  {why}") == 1
    with pytest.raises(UserError) as raised:
        launched(eight, sweeps_dir)
    assert str(raised.value) == f"{why}: move it away and give the same command again"
    assert capsys.readouterr().err == ""


def test_verify_sees_what_a_look_does_not(finished, eight, tmp_path, capsys):
    """Bits that went while the file kept its size and its time, as disks do it."""
    sweeps_dir = tmp_path / "sweeps"
    shutil.copytree(finished, sweeps_dir)
    words = [f"sweeps_dir={sweeps_dir}"]
    assert status.main([*words, "verify=true"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].strip() == "verified: every file is as it was written"
    path = of_run(sweeps_dir, eight[0], "sae_weights.safetensors")
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    flip(path)
    os.utime(path, ns=times)
    assert status.main(words) == 0 and "8 done" in capsys.readouterr().out
    assert status.main([*words, "verify=true"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "damaged  " in line]
    assert run_name(eight[0]) in line and "its checksum differs: delete it, and the command that launches it" in line
