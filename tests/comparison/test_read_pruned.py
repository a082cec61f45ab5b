"""Pruned evaluations as a table: a row a threshold, with gaps where something was not measured."""

import json
from pathlib import Path

from pipeline.analysis.table import read_pruned, read_sweep
from tests.factories import Sweep


def test_a_pruned_evaluation_may_lack_what_the_run_as_it_is_has(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "sweeps")
    folders = sweep.arms()["gated"]
    for folder in folders:
        sweep.prune(folder, {0.1: (1.0, 0.0), 0.4: (0.9, 0.5)})
        content = json.loads((folder / "metrics.json").read_text())
        for pruned in content["pruned"]:
            pruned |= {"alive_fraction": None, "gamma": None}
        (folder / "metrics.json").write_text(json.dumps(content))
    sweep.write("s")
    rows = read_pruned(sweep.sweeps_dir, read_sweep(sweep.sweeps_dir, "s"))
    assert len(rows) == 2 * len(folders) and rows["below"].tolist() == [0.1, 0.4] * len(folders)
    for name in ("alive_fraction", "gamma"):
        assert rows[name].dtype == float and rows[name].isna().all()
