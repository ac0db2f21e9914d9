import contextlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from dicom_files import truncate, write_series
from prepared import contents, prepared

from jaxharmo.console import Progress
from jaxharmo.data.manifest import shard_paths
from jaxharmo.data.prepare import assembly, plan, progress, tasks
from jaxharmo.data.prepare.workers import Job, open_workers
from jaxharmo.errors import InputError


@pytest.fixture
def collection(tmp_path):
    """Three domains with a broken file in each."""
    for kernel in ("A", "B", "C"):
        paths = write_series(tmp_path / "in", slices=10, series=kernel, kernel=kernel)
        truncate(paths[3], -100)
    return tmp_path / "in"


def test_a_second_run_leaves_a_finished_set_alone(collection, tmp_path):
    manifest, _ = prepared(collection, tmp_path / "out")
    before = contents(tmp_path / "out")
    again, lines = prepared(collection, tmp_path / "out")
    assert again == manifest
    assert len(lines) == 1
    assert "already prepared" in lines[0]
    assert contents(tmp_path / "out") == before


def test_a_stopped_run_goes_on_where_it_stopped(collection, tmp_path, monkeypatch):
    prepared(collection, tmp_path / "whole")
    destination = tmp_path / "out"
    advance, tasks_done = Progress.advance, []

    def stop_after_the_first_task(stage, count):
        advance(stage, count)
        if stage._stage == "prepare":
            tasks_done.append(count)
            if len(tasks_done) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", stop_after_the_first_task)
    with pytest.raises(KeyboardInterrupt):
        prepared(collection, destination)
    assert tasks.read_result(destination / progress.WORK, 0)
    assert not (destination / "dataset.json").exists()
    assert not list(destination.glob("*/*-of-*"))
    # As a power cut leaves it: a passing file of a worker that is gone, half a result.
    (destination / progress.WORK / "000002-train-host-1.partial").touch()
    tasks.result_path(destination / progress.WORK, 2).write_text('{"slices": {"tr')
    before = tasks.record_path(destination / progress.WORK, 0, "train").stat().st_mtime_ns
    prepared(collection, destination)
    after = next((destination / "train").glob("*a-00000*")).stat().st_mtime_ns
    assert after == before, "a task that was done is done again"
    assert contents(destination) == contents(tmp_path / "whole")


@pytest.mark.parametrize("moment", ["_place", "_write_table", "write_manifest"])
def test_stopped_while_the_set_is_finished(collection, tmp_path, monkeypatch, moment):
    prepared(collection, tmp_path / "whole")
    original, calls = getattr(assembly, moment), []

    def stop(*args):
        calls.append(args)
        if len(calls) == (5 if moment == "_place" else 1):
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(assembly, moment, stop)
    with pytest.raises(KeyboardInterrupt):
        prepared(collection, tmp_path / "out")
    prepared(collection, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_unfinished_set_of_other_files_is_begun_anew(tmp_path):
    source, destination = tmp_path / "in", tmp_path / "out"
    write_series(source)
    progress.open_destination(destination, {"files": "others"})
    (destination / progress.WORK / "000000.json").write_text(
        '{"slices": {"train": 5}, "series": {"S0001": 5}, "skipped": []}'
    )
    (destination / "train").mkdir()
    (destination / "train" / "b30f-00000-of-00001.arrayrecord").touch()
    with pytest.raises(InputError, match="parts made from other files"):
        prepared(source, destination, job=Job(workers=1, part="1/2"))
    manifest, _ = prepared(source, destination)
    assert sum(manifest.domains[0].slices.values()) == 6
    assert len(shard_paths(destination, "train", manifest.domains[0])) == 1
    assert not (destination / progress.FILE_NAME).exists()
    assert not list(destination.glob("*/b30f*"))


def small_tasks(monkeypatch):
    """Units of two slices, so that there are many."""
    monkeypatch.setattr(plan, "TASK_BYTES", 2 * 2 * 64 * 64)


def test_parts_in_any_order_give_the_same_bytes(collection, tmp_path, monkeypatch):
    small_tasks(monkeypatch)
    whole, _ = prepared(collection, tmp_path / "whole")
    destination = tmp_path / "out"
    for part in ("3/3", "1/3"):
        manifest, lines = prepared(collection, destination, job=Job(workers=1, part=part))
        assert manifest is None
        assert "finish with --merge" in lines[-1]
    with pytest.raises(InputError, match=r"5 of 15 tasks are not done; run the missing"):
        prepared(collection, destination, job=Job(workers=1, merge=True))
    prepared(collection, destination, job=Job(workers=1, part="2/3"))
    merged, _ = prepared(collection, destination, job=Job(workers=1, merge=True))
    assert merged == whole
    assert contents(destination) == contents(tmp_path / "whole")


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/2/3"])
def test_parts_that_are_none(collection, tmp_path, part):
    with pytest.raises(InputError, match="must be i/n"):
        prepared(collection, tmp_path / "out", job=Job(part=part))


def test_workers_do_not_show(collection, tmp_path, monkeypatch):
    small_tasks(monkeypatch)
    for count in (1, 4):
        prepared(collection, tmp_path / str(count), job=Job(workers=count))
    assert contents(tmp_path / "1") == contents(tmp_path / "4")


def test_a_worker_that_is_ended_is_told():
    with (
        pytest.raises(OSError, match=r"was ended \(SIGKILL\), for lack of memory"),
        open_workers(2, None) as workers,
    ):
        list(workers.run(signal.raise_signal, [signal.SIGKILL]))


@pytest.mark.slow
def test_dask_gives_the_same_bytes(collection, tmp_path, dask_scheduler):
    prepared(collection, tmp_path / "here")
    prepared(collection, tmp_path / "dask", job=Job(scheduler=dask_scheduler))
    assert contents(tmp_path / "dask") == contents(tmp_path / "here")


def test_a_scheduler_that_is_not_there(collection, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("jaxharmo.data.prepare.workers.CONNECT_SECONDS", 0.2)
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        prepared(collection, tmp_path / "out", job=Job(scheduler="tcp://127.0.0.1:9"))


RUN = """
import sys
from pathlib import Path
from jaxharmo.console import Progress
from jaxharmo.data.prepare import plan
from jaxharmo.data.prepare.collection import Job, PrepareConfig, prepare
plan.TASK_BYTES = 2**21
prepare(*map(Path, sys.argv[1:]), PrepareConfig(crop="body"), job=Job(workers=2))
"""


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path):
    for patient in range(6):
        for kernel in ("B30f", "B70f"):
            name = f"{patient}{kernel}"
            options = {"patient": f"p{patient}", "series": name, "kernel": kernel}
            write_series(tmp_path / "in", slices=60, size=256, **options)

    def run(destination):
        command = [sys.executable, "-c", RUN, tmp_path / "in", destination]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    start = time.monotonic()
    assert run(tmp_path / "whole").wait() == 0
    seconds = time.monotonic() - start
    whole = contents(tmp_path / "whole")
    killed = 0
    for moment in np.random.default_rng(0).uniform(0.3, 0.9, 5) * seconds:
        process = run(tmp_path / "out")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        for name, data in contents(tmp_path / "out").items():
            assert name not in whole or data == whole[name]
    assert killed >= 2
    assert run(tmp_path / "out").wait() == 0
    assert contents(tmp_path / "out") == whole
