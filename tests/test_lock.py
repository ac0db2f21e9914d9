"""Two of a kind in one folder: the second is refused with one line, a crashed one is in no way."""

import multiprocessing
import time

import pytest
from dicom_files import write_series
from harmonized import harmonized
from lock_holder import hold
from prepared import prepared
from small import SMALL

from jaxharmo import lock
from jaxharmo.data.prepare.workers import Job
from jaxharmo.errors import InputError
from jaxharmo.experiment import train_run
from jaxharmo.lock import locked


@pytest.fixture
def holding():
    """Starts processes that hold a lock."""
    context = multiprocessing.get_context("spawn")
    started = []

    def start(path, job=None):
        ready = context.Event()
        process = context.Process(target=hold, args=(path, ready, job), daemon=True)
        process.start()
        started.append(process)
        assert ready.wait(60)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_the_second_is_refused_until_the_first_is_gone(tmp_path, holding):
    path = tmp_path / "lock"
    process = holding(path)
    with (
        pytest.raises(InputError, match=f"process {process.pid} on .* is at work on this run"),
        locked(path, "this run"),
    ):
        pytest.fail("two at once")
    process.kill()
    process.join()
    assert path.exists()
    with locked(path, "this run"):
        assert path.exists()
    assert not path.exists()


def test_a_job_of_slurm_waits_for_its_own_earlier_start(tmp_path, holding, monkeypatch):
    """As after the loss of a node, whose locks the file system keeps for a while."""
    path = tmp_path / "lock"
    process = holding(path, job="4711")
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    with pytest.raises(InputError, match="at work"), locked(path, "this run"):
        pass
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setattr(lock, "LOST_MACHINE_SECONDS", 0.3)
    monkeypatch.setattr(lock, "_RETRY_SECONDS", 0.1)
    with pytest.raises(InputError, match="at work"), locked(path, "this run"):
        pass
    monkeypatch.setattr(lock, "LOST_MACHINE_SECONDS", 60.0)
    slept = []

    def let_it_go(seconds):
        slept.append(seconds)
        process.kill()
        process.join()

    monkeypatch.setattr(time, "sleep", let_it_go)
    with locked(path, "this run"):
        assert len(slept) == 1


def test_parts_share_and_the_whole_does_not(tmp_path):
    path = tmp_path / "lock"
    with (
        locked(path, "it", shared=True),
        locked(path, "it", shared=True),
        pytest.raises(InputError, match="at work"),
        locked(path, "it"),
    ):
        pass
    with locked(path, "it"), pytest.raises(InputError), locked(path, "it", shared=True):
        pass


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(lock._UNKNOWN[0], "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with locked(tmp_path / "lock", "it"):
        pass


def test_the_commands_take_it(tmp_path, holding):
    source = tmp_path / "in"
    write_series(source, slices=3)
    (tmp_path / "shards").mkdir()
    holding(tmp_path / "shards" / "progress.json.lock")
    for job in (Job(workers=1), Job(workers=1, part="1/2"), Job(workers=1, merge=True)):
        with pytest.raises(InputError, match="at work on this shard set"):
            prepared(source, tmp_path / "shards", job=job)
    holding(tmp_path / "out.lock")
    with pytest.raises(InputError, match="at work on the output"):
        harmonized(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "run").mkdir()
    holding(tmp_path / "run" / "lock")
    with pytest.raises(InputError, match="at work on this run"):
        train_run(SMALL, tmp_path / "run", None)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]
