"""Leases: one writer a folder, heartbeats of other hosts, and the late writer that lost its own."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import LeaseLost, NotWritable
from pipeline.storage import lease
from pipeline.storage.files import write_bytes, write_json
from pipeline.storage.lease import Leases, read_lease


def rewrite(folder, **changes):
    (folder / "lease.json").write_text(json.dumps(read_lease(folder) | changes))


def test_attempts_count_on_and_an_ended_lease_is_taken_at_once(tmp_path):
    with Leases([tmp_path], patience=30):
        assert read_lease(tmp_path)["attempt"] == 1
        write_json(tmp_path / "checkpoints" / "x.json", {})
    assert read_lease(tmp_path)["ended"]
    with Leases([tmp_path], patience=30) as again:
        assert read_lease(tmp_path)["attempt"] == 2
        again.release(tmp_path, finished=True)
    assert not (tmp_path / "lease.json").exists()


def test_a_late_writer_finds_its_lease_gone_and_changes_nothing(tmp_path):
    with Leases([tmp_path]):
        write_bytes(tmp_path / "checkpoints" / "a", b"mine")
        rewrite(tmp_path, attempt=2, pid=1, host="other")
        with pytest.raises(LeaseLost, match="taken over by process 1 on other, attempt 2"):
            write_bytes(tmp_path / "checkpoints" / "a", b"late")
        assert (tmp_path / "checkpoints" / "a").read_bytes() == b"mine"
        assert not list(tmp_path.rglob("*.tmp"))
    assert read_lease(tmp_path)["attempt"] == 2, "the end of the late one leaves the other's lease alone"


def test_the_check_comes_last_before_the_rename(tmp_path, monkeypatch):
    """The lease goes while the file is flushed."""
    flush = os.fsync
    with Leases([tmp_path]):
        monkeypatch.setattr(os, "fsync", lambda fd: (flush(fd), rewrite(tmp_path, attempt=9)))
        with pytest.raises(LeaseLost):
            write_bytes(tmp_path / "a", b"late")
    assert not (tmp_path / "a").exists()


def test_a_living_process_of_this_host_is_left_alone(tmp_path):
    with Leases([tmp_path]), Leases([tmp_path]) as second:
        assert tmp_path in second.living and not second.mine


def test_a_dead_process_of_this_host_is_succeeded_at_once(tmp_path):
    with Leases([tmp_path]):
        pass
    rewrite(tmp_path, ended=None, started="1")  # the same number, another process
    with Leases([tmp_path], patience=30):
        assert read_lease(tmp_path)["attempt"] == 2


@pytest.mark.parametrize("beating", [True, False])
def test_another_hosts_process_lives_while_its_heart_beats(tmp_path, beating):
    with Leases([tmp_path]):
        pass
    rewrite(tmp_path, ended=None, host="other")
    ended = threading.Event()

    def beat():
        while beating and not ended.wait(0.1):
            os.utime(tmp_path / "lease.json")

    thread = threading.Thread(target=beat)
    thread.start()
    with Leases([tmp_path], patience=1.2) as leases:
        assert (tmp_path in leases.living) == beating
    ended.set()
    thread.join()


def test_the_same_slurm_task_succeeds_itself(tmp_path, monkeypatch):
    for name, value in {"SUBMITIT_EXECUTOR": "slurm", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}.items():
        monkeypatch.setenv(name, value)
    with Leases([tmp_path]):
        assert read_lease(tmp_path)["slurm_job"] == "7_3"
        with Leases([tmp_path]) as second:
            assert second.mine[tmp_path].lease["attempt"] == 2


def test_of_many_at_once_one_takes_it(tmp_path):
    """Whoever finds the claim or the new lease of another stands back."""
    barrier, taken = threading.Barrier(8), []

    def take():
        barrier.wait()
        with Leases([tmp_path]) as leases:
            taken.append(bool(leases.mine))
            time.sleep(0.5)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    with Leases([tmp_path]):
        os.utime(tmp_path / "lease.json", (1, 1))
        time.sleep(0.4)
        assert (tmp_path / "lease.json").stat().st_mtime > 1


def test_a_full_disk_is_one_line_and_leaves_nothing_half(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"whole")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotWritable, match=r"No space left on device.*make room.*same command"):
        write_bytes(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == b"whole"


def test_a_process_is_known_whatever_its_name_is():
    comm, started = Path("/proc/self/comm"), lease.process_start(os.getpid())
    before = comm.read_bytes()
    comm.write_bytes(b"\xff) Z \xfc")
    try:
        assert started and lease.process_start(os.getpid()) == started
    finally:
        comm.write_bytes(before)
