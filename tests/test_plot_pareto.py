"""From synthetic records to tables and figures, with the command itself where that matters."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline import plot_pareto
from pipeline.analysis.table import FIRST, read_sweep
from pipeline.storage.places import BASE

EVALUATION = "0123456789ab"
TABLES = [
    "runs", "frontier", "frontiers", "verdicts", "l0_ratio", "l0_ratio_curve", "saved", "ce_at_l0", "robustness",
    "documents",
]  # fmt: skip
OUTPUTS = (
    [f"{name}.csv" for name in TABLES]
    + ["columns.csv", "summary.md", "report.html"]
    + [f"figure_{n}.{kind}" for n in ("1", "6", "diagnostics", "l0_ratio") for kind in ("png", "svg", "pdf", "csv")]
)


def settings(site: str, architecture: str, lam: float, seed: int = 0) -> dict[str, Any]:
    return {
        "model": {"name": "toy", "hub_id": None, "revision": None, "context": 256, "shape": None, "layer": 0},
        "site": {"name": site, "hook": f"blocks.{{layer}}.{site}"},
        "architecture": {"name": architecture, "expansion": 4 if architecture == "gated" else 6},
        "data": {"name": "sotu", "source": "bundled"},
        "train": {"steps": 100, "lr": 1e-3, "resample": {"steps": [10, 20]}},
        "eval": {"sequences": 16, "batch": 16}, "layer": 2, "sparsity_coefficient": lam, "seed": seed,
    }  # fmt: skip


def record(run: str, chosen: dict[str, Any], **metrics: float) -> dict[str, Any]:
    measured = {
        "l0": 20.0, "loss_recovered": 0.9, "loss_recovered_mean_ablation": 0.88, "ce_clean": 3.0,
        "ce_sae": 6.0 - 3.0 * metrics.get("loss_recovered", 0.9), "ce_zero": 6.0,
        "ce_mean": 5.5, "gamma": 0.99, "gamma_dot": 0.9, "alive_fraction": 0.75, "dead_fraction": 0.25,
        "fvu": 0.1, "evaluation_tokens": 4096, "density_counts": [1, 2],
    }  # fmt: skip
    return {
        "run": run, "training_version": 1, "evaluation_version": 1, "identity": {"model": "toy@abc"},
        "settings": chosen,
        "training": {"d_in": 8, "d_sae": 8 * chosen["architecture"]["expansion"], "tokens": 25600, "input_scale": 0.5},
        "evaluation": {"id": EVALUATION, "tokens": "t"}, "metrics": measured | metrics,
        "provenance": {"git": {"commit": "c0ffee", "dirty": False}, "python": "3.11"},
    }  # fmt: skip


class Disk:
    """A sweeps folder under construction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.declared: list[dict[str, Any]] = []

    def declare(self, run: str, site: str = "mlp_out", architecture: str = "gated", lam: float = 1.0) -> Path:
        chosen = settings(site, architecture, lam)
        self.declared.append({"run": run, "evaluation": EVALUATION, "settings": chosen})
        folder = self.folder / "runs" / run
        folder.mkdir(parents=True)
        return folder

    def done(
        self, run: str, site: str = "mlp_out", architecture: str = "gated", lam: float = 1.0, **metrics: float
    ) -> Path:
        folder = self.declare(run, site, architecture, lam)
        put(folder / "metrics.json", record(run, settings(site, architecture, lam), **metrics))
        return folder

    def manifest(self, sweep: str) -> None:
        put(self.folder / sweep / "manifest.json", {"sweep": sweep, "command": "", "time": 0.0, "runs": self.declared})
        self.declared = []


def put(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "sweeps")


def grid(disk: Disk, sweep: str) -> None:
    """Two sites, two arms, four lambdas; the third run of each arm is dominated."""
    for site in ("mlp_out", "attn_z"):
        for architecture, worse in (("gated", 0.0), ("baseline", 0.05)):
            for i, (l0, recovered) in enumerate(((80, 0.95), (40, 0.9), (45, 0.85), (10, 0.7))):
                name = f"{sweep}-{site}-{architecture}-{i}"
                disk.done(name, site, architecture, 0.5 * 2**i, l0=l0, loss_recovered=recovered - worse)
    disk.manifest(sweep)


def command(*arguments: str, code: Path = BASE, working: Path = BASE) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(code / "pipeline" / "plot_pareto.py"), *arguments]
    return subprocess.run(script, cwd=working, capture_output=True, text=True, timeout=120)


def folders(tmp_path: Path) -> list[str]:
    return [f"sweeps_dir={tmp_path / 'sweeps'}", f"results_dir={tmp_path / 'results'}"]


# ------------------------------------------------------------------------------------------------------------- command


@pytest.mark.slow
def test_the_command_does_every_sweep_and_names_its_pictures(tmp_path: Path, disk: Disk) -> None:
    grid(disk, "first")
    grid(disk, "second")
    finished = command(*folders(tmp_path))
    assert (finished.returncode, finished.stderr) == (0, "")
    for sweep in ("first", "second"):
        assert sorted(p.name for p in (tmp_path / "results" / sweep).iterdir()) == sorted(OUTPUTS)
        assert f"{sweep}: 16 runs: 16 done" in finished.stdout
    paths = [Path(line) for line in finished.stdout.splitlines()[-12:]]
    assert all(path.is_file() for path in paths)
    for pictures, words in ((paths[:4], paths[4:6]), (paths[6:10], paths[10:])):
        assert {path.suffix for path in pictures} == {".png"}
        assert [path.name for path in words] == ["summary.md", "report.html"]
    assert finished.stdout.count("width_1.5: L0 ratio 1.41; not judged: no interval over sequences: ") == 4
    assert len(finished.stdout.splitlines()) == 12 + 2 * (1 + 1 + 16 + 1 + 2 + 2)


@pytest.mark.slow
def test_a_module_beside_the_script_does_not_shadow_the_standard_library(tmp_path: Path, disk: Disk) -> None:
    disk.declare("a")
    disk.manifest("one")
    shutil.copytree(BASE / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("bundled", "__pycache__"))
    for name in ("types", "json", "dataclasses", "difflib"):
        (tmp_path / "pipeline" / f"{name}.py").write_text("raise ImportError('shadowed')\n")
    finished = command(*folders(tmp_path), code=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_users_own_figure_is_one_file(tmp_path: Path, disk: Disk) -> None:
    """That of docs/how_to/extend.md, by the command, from the folder in which it is."""
    _metric, example = re.findall(r'```python\n(""".*?)```', (BASE / "docs/how_to/extend.md").read_text(), re.DOTALL)
    grid(disk, "s")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure_fvu.py").write_text(example)
    finished = command(*folders(tmp_path), "replicates=0", working=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    results = tmp_path / "results" / "s"
    assert {f"figure_fvu.{kind}" for kind in ("png", "svg", "pdf", "csv")} <= {path.name for path in results.iterdir()}
    assert str(results / "figure_fvu.png") in finished.stdout.splitlines()
    assert pd.read_csv(results / "figure_fvu.csv")["fvu"].tolist() == [0.1] * 16
    (shown,) = re.findall('<figure id="figure_fvu">.*?</figure>', (results / "report.html").read_text(), re.DOTALL)
    assert "Fraction of variance unexplained against L0" in shown and shown.count("data-row=") == 16


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("figure_my", "def data(source):\n    return source.runs\n", "{path} has no function draw: expected data(so"),
        ("figure_my", "import nothing_of_this_name", "{path}, line 1: ModuleNotFoundError: No module named 'nothing"),
        ("figure_my", "def data(source:\n", "{path}, line 1: '(' was never closed"),
        ("figure_1", "", "{path}: there is a figure of that name: expected another, as figure_my_1.py"),
        ("figure_my", "data = lambda source: source.runs\ndef draw(points, looks):\n    return points['lo']",
         "{path}, line 3: KeyError: 'lo'"),
        ("figure_my", "data = lambda source: source.runs\ndef draw(points, looks):\n    pass",
         "{path}: TypeError: draw returned NoneType: expected a Figure"),
        ("figure_my", "data = draw = lambda *_: [1]", "{path}: TypeError: data returned list: expected a DataFrame"),
    ],
)  # fmt: skip
def test_a_fault_in_a_users_figure_is_one_line(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    name: str, content: str, said: str,
) -> None:  # fmt: skip
    disk.done("a")
    disk.manifest("s")
    path = tmp_path / "figures" / f"{name}.py"
    path.parent.mkdir()
    path.write_text(content)
    monkeypatch.setattr("pipeline.figures.find.USER_FIGURES", path.parent)
    assert plot_pareto.main([*folders(tmp_path), "replicates=0"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said.format(path=path)}") and error.count("\n") == 1


def test_one_sweep_of_several(tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    for sweep in ("first", "second"):
        disk.declare(sweep)
        disk.manifest(sweep)
    assert plot_pareto.main(["sweep=first", *folders(tmp_path)]) == 0
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["first"]
    assert plot_pareto.main(["sweep=frist", *folders(tmp_path)]) == 2
    said = "error: sweep=frist is not on disk; did you mean first? (on disk: first, second)\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["swep=a"],
            [
                "swep is unknown",
                "did you mean sweep?",
                "accepted: sweep, source, percent, reference, candidates, family, replicates, sweeps_dir, results_dir",
            ],
        ),
        (["--fast"], ["--fast is unknown", "accepted"]),
        (["sweep"], ["sweep has no value"]),
        (["sweep=a", "sweep=b"], ["sweep is given twice"]),
    ],
)
def test_a_wrong_key_is_one_line(arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert plot_pareto.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert all(part in output.err for part in expected)


def test_without_a_sweep_it_says_so_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweeps").mkdir()
    assert plot_pareto.main(folders(tmp_path)) == 1
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and "no sweep on disk" in output.err
    assert not (tmp_path / "results").exists()


def test_folders_and_family_are_checked_before_anything_is_said_or_written(
    tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.done("a", architecture="baseline", lam=1.0)
    disk.manifest("s")
    (tmp_path / "file").write_text("compute\n1\n")
    (tmp_path / "table.csv").write_text("arch,model,site,layer,width,l0,loss_recovered\ngated,m,mlp,1,8,5,0.9\n")
    (tmp_path / "blocked").mkdir()
    for name in ("s", "table"):
        (tmp_path / "blocked" / name).write_text("")
    results, before = tmp_path / "results", sorted(tmp_path.rglob("*"))
    wrong = {
        "results_dir=/proc/x": "results_dir", "results_dir=/dev/null": "results_dir: /dev/null is not a folder",
        f"results_dir={tmp_path}/file/x": f"results_dir: {tmp_path}/file is not a folder",
        f"results_dir={tmp_path}/{'x' * 300}": "too long", f"results_dir={tmp_path}/blocked": "is not a folder",
        f"family={tmp_path}/none.csv": "family=", f"family={tmp_path}": "family=",
        f"family={tmp_path}/file": "no column loss", f"sweeps_dir={tmp_path}/file": "file is not a folder",
        f"sweeps_dir={tmp_path}/none": "none is not a folder",
    }  # fmt: skip
    for argument, said in wrong.items():
        for chosen in ("sweep=s", f"source={tmp_path}/table.csv"):
            given = dict(each.split("=", 1) for each in (*folders(tmp_path), chosen, argument))
            assert plot_pareto.main([f"{key}={value}" for key, value in given.items()]) == 2, argument
            output = capsys.readouterr()
            assert output.out == "" and output.err.count("\n") == 1 and said in output.err, (argument, output)
    assert sorted(tmp_path.rglob("*")) == before and not results.exists()


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("reference=gatd", "reference=gatd: s has no such arm; did you mean gated? (arms: baseline, gated)"),
        ("candidates=gated,nope", "candidates=nope: s has no such arm (arms: baseline, gated)"),
        ("replicates=99999999999", "replicates=99999999999: expected at most 100000"),
        ("replicates=100001", "replicates=100001: expected at most 100000"),
    ],
)  # fmt: skip
def test_arms_and_draws_that_cannot_be_are_refused_before_anything_is_written(
    tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str], argument: str, said: str
) -> None:
    for arm in ("baseline", "gated"):
        disk.done(arm, architecture=arm)
    disk.manifest("s")
    (tmp_path / "s.csv").write_text("arch,model,site,layer,width,l0,loss_recovered\n" + "".join(
        f"{arm},m,mlp,1,8,5,0.9\n" for arm in ("gated", "baseline")
    ))  # fmt: skip
    for chosen in ("sweep=s", f"source={tmp_path}/s.csv"):
        results = f"results_dir={tmp_path / 'elsewhere'}"
        assert plot_pareto.main([f"sweeps_dir={tmp_path / 'sweeps'}", results, chosen, argument]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1 and said in output.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_table_does_not_replace_the_results_of_a_sweep_of_its_name(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.done("a")
    disk.manifest("s")
    monkeypatch.setattr("pipeline.figures.draw_all.figures", dict)
    table, runs = tmp_path / "s.csv", tmp_path / "results" / "s" / "runs.csv"
    table.write_text("arch,model,site,layer,width,l0,loss_recovered\ngated,m,mlp,1,8,5,0.9\n")
    assert plot_pareto.main([*folders(tmp_path), "sweep=s"]) == 0
    before, sweeps = runs.read_bytes(), f"sweeps_dir={tmp_path / 'sweeps'}"
    capsys.readouterr()
    assert plot_pareto.main([*folders(tmp_path), f"source={table}"]) == 2
    assert plot_pareto.main([sweeps, f"source={table}"]) == 2  # the default folder, whatever is in it
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("the sweep s; rename the file or give results_dir=FOLDER") == 2
    assert runs.read_bytes() == before
    for _ in range(2):  # elsewhere it may be written, and again
        assert plot_pareto.main([sweeps, f"source={table}", f"results_dir={tmp_path / 'other'}"]) == 0
    assert len(pd.read_csv(tmp_path / "other" / "s" / "runs.csv")) == 1


def test_help_names_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert plot_pareto.main(["--help"]) == 0
    usage = capsys.readouterr().out
    assert all(f"{key}=" in usage for key in ("sweep", "sweeps_dir", "results_dir"))


@pytest.mark.slow
def test_a_sweep_without_a_finished_run_is_one_line_and_no_picture(
    tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.declare("a")
    disk.manifest("fresh")
    grid(disk, "other")
    stale = tmp_path / "results" / "fresh"
    stale.mkdir(parents=True)
    for name in ("figure_1.png", "l0_ratio.csv"):
        (stale / name).write_text("of runs that are gone")
    assert plot_pareto.main([*folders(tmp_path), "replicates=0"]) == 0
    out = capsys.readouterr().out
    first, second = out.splitlines()[:2]
    assert first.startswith("fresh: 1 runs: 1 missing; nothing is finished, so nothing is drawn")
    assert first.endswith("pipeline/status.py sweep=fresh)") and second == "other: 16 runs: 16 done"
    assert len(pd.read_csv(stale / "runs.csv")) == 1
    assert {path.name for path in stale.iterdir()} == {"runs.csv", "columns.csv", "summary.md", "report.html"}
    assert (tmp_path / "results" / "other" / "figure_1.png").is_file()


@pytest.mark.slow
def test_a_damaged_sweep_stops_no_other(tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    grid(disk, "whole")
    (disk.folder / "broken").mkdir()
    (disk.folder / "broken" / "manifest.json").write_text("{")
    assert plot_pareto.main([*folders(tmp_path), "replicates=0"]) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and output.err.startswith("error: broken: ")
    assert (tmp_path / "results" / "whole" / "figure_1.png").is_file()


@pytest.mark.slow
def test_results_are_the_same_bytes_again(tmp_path: Path, disk: Disk) -> None:
    grid(disk, "s")

    def digests() -> dict[str, str]:
        assert plot_pareto.main(folders(tmp_path)) == 0
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "results/s").iterdir()}

    assert digests() == digests()


# --------------------------------------------------------------------------------------------------------------- table


def test_columns_and_values_of_a_finished_run(disk: Disk) -> None:
    disk.done("a", architecture="baseline", lam=0.5, l0=12.5)
    disk.manifest("s")
    table = read_sweep(disk.folder, "s")
    assert "model.layer" not in table  # the default of `layer`, which says where the run was
    assert list(table.columns[: len(FIRST)]) == list(FIRST)
    expected = {
        "run": "a", "sweep": "s", "model": "toy@abc", "site": "mlp_out", "layer": 2, "architecture": "baseline",
        "d_in": 8, "d_sae": 48, "sparsity_coefficient": 0.5, "seed": 0, "status": "done", "tokens": 25600, "l0": 12.5,
        "loss_recovered": 0.9, "gamma": 0.99, "dead_fraction": 0.25, "alive_fraction": 0.75, "gamma_dot": 0.9,
        "train.lr": 1e-3, "architecture.expansion": 6, "train.resample.steps": "[10, 20]", "input_scale": 0.5,
        "evaluation.id": EVALUATION, "evaluation_tokens": 4096, "training_version": 1, "evaluation_version": 1,
        "provenance.commit": "c0ffee",
        "provenance.python": "3.11",
    }  # fmt: skip
    assert {name: table.loc[0, name] for name in expected} == expected
    assert "density_counts" not in table and table.columns.is_unique


@pytest.mark.slow
def test_what_was_not_measured_is_a_gap_in_a_column_of_numbers(tmp_path: Path, disk: Disk) -> None:
    """Null in the record: NaN in the table, empty in runs.csv, and a whole number beside the gap stays whole."""
    unknown = dict.fromkeys(("alive_fraction", "dead_fraction", "gamma", "gamma_rms"))
    disk.done("a", lam=1.0, fired_fraction=0.8, effective_width=31, **unknown)  # type: ignore[arg-type]
    disk.done("b", lam=2.0, l0=10.0, loss_recovered=0.8)
    disk.manifest("s")
    table = read_sweep(disk.folder, "s")
    for name in (*unknown, "fired_fraction"):
        assert table[name].dtype == float, name
    assert table.loc[0, list(unknown)].isna().all() and table.loc[1, "alive_fraction"] == 0.75
    assert table["effective_width"].tolist()[0] == 31 and table["effective_width"].isna().tolist() == [False, True]
    assert plot_pareto.main(folders(tmp_path)) == 0
    line = (tmp_path / "results/s/runs.csv").read_text().splitlines()
    first = dict(zip(line[0].split(","), line[1].split(","), strict=False))
    assert first["gamma"] == first["dead_fraction"] == ""
    disk.done("c", **unknown)  # type: ignore[arg-type]
    disk.declared = disk.declared[-1:]
    disk.manifest("all_unknown")
    assert read_sweep(disk.folder, "all_unknown")["alive_fraction"].dtype == float


def test_every_status_and_its_reason(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    disk.done("done")
    put(disk.declare("failed") / "failure.json", {"error": "TrainingDiverged", "reason": "loss is nan", "step": 7})
    put(disk.declare("running") / "progress.json", {"step": 5, "steps": 100, "time": now - 60})
    put(disk.declare("stopped") / "progress.json", {"step": 5, "steps": 100, "time": now - 600})
    (disk.declare("corrupt") / "metrics.json").write_text('{"run": "corr')
    (disk.declare("trained") / "cfg.json").touch()
    disk.declare("declared")
    disk.manifest("s")
    table = read_sweep(disk.folder, "s", now).set_index("run")
    assert table["status"].to_dict() == {
        "done": "done", "failed": "failed", "running": "running", "stopped": "waiting", "corrupt": "missing",
        "trained": "waiting", "declared": "waiting",
    }  # fmt: skip
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1 and "runs/corrupt/metrics.json cannot be read" in stderr

    later = read_sweep(disk.folder, "s", now + 600).set_index("run")  # nothing runs any more
    assert later["reason"].dropna().to_dict() == {
        "failed": "TrainingDiverged at step 7: loss is nan", "running": "stopped after step 5 of 100",
        "stopped": "stopped after step 5 of 100", "corrupt": "its record is damaged",
        "trained": "trained, but not evaluated as this sweep asks", "declared": "not begun",
    }  # fmt: skip
    assert later.loc["declared", "architecture"] == "gated" and later.loc["declared", "train.lr"] == 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"run": "a", "metrics"', "\x00\xff"])
def test_a_record_that_is_none_stops_nothing(
    content: str, tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    (disk.declare("a") / "metrics.json").write_text(content)
    disk.done("b")
    disk.manifest("s")
    assert plot_pareto.main(folders(tmp_path)) == 0
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and "runs/a/metrics.json cannot be read" in output.err
    assert "missing: a: its record is damaged" in output.out


def test_a_later_evaluation_has_its_own_record(disk: Disk) -> None:
    folder = disk.done("a")
    other = record("a", settings("mlp_out", "gated", 1.0), l0=99.0)
    other["evaluation"]["id"] = "other"
    put(folder / "metrics.json", other)
    put(folder / f"evaluation-{EVALUATION}" / "metrics.json", record("a", settings("mlp_out", "gated", 1.0), l0=11.0))
    disk.manifest("s")
    assert read_sweep(disk.folder, "s").loc[0, "l0"] == 11.0


@pytest.mark.slow
def test_frontier_csv_holds_the_non_dominated_runs(tmp_path: Path, disk: Disk) -> None:
    grid(disk, "s")
    assert plot_pareto.main(folders(tmp_path)) == 0
    front = pd.read_csv(tmp_path / "results/s/frontier.csv")
    assert len(front) == 12 and not front["run"].str.endswith("-2").any()
    assert (front.groupby(["site", "architecture"])["l0"].diff().dropna() > 0).all()
    assert front["n_seeds"].eq(1).all() and front["runs"].equals(front["run"])
    runs = pd.read_csv(tmp_path / "results/s/runs.csv")
    assert set(runs.loc[runs["on_frontier"], "run"]) == set(front["run"])


def test_aggregation_imports_no_torch() -> None:
    rooms = ("analysis.external_points", "analysis.compute_efficiency", "comparison.summary")
    modules = ", ".join(["pipeline.plot_pareto", *(f"pipeline.{room}" for room in rooms)])
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(BASE)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=60).returncode == 0
