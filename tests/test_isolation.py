"""No file ends the work, and no folder runs code."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from deadly import jpeg_2000_that_aborts, rle_that_panics
from dicom_files import ct_slice, hounsfield, save, write_series
from harmonized import harmonized, outputs
from prepared import all_slices, prepared, skipped_files

from jaxharmo import isolation
from jaxharmo.data.prepare.workers import Job
from jaxharmo.errors import InputError
from jaxharmo.isolation import Death, Helper

COMMAND = "from jaxharmo.cli import main; main()"
SHADOWS = ("numpy", "dl", "pydicom", "socket", "multiprocessing", "jaxharmo")
ABORTS = "its decoder crashes (SIGABRT)"
PANICS = "pixel data missing or cannot be decoded"


def spring_traps(folder, mark):
    for name in SHADOWS:
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r} + '\\n')\n")


@pytest.mark.parametrize(
    ("command", "path"), [(COMMAND, ""), (COMMAND.replace("cli", "__main__"), os.pathsep)]
)
def test_a_folder_runs_no_code(tmp_path, command, path):
    """Also where PYTHONPATH has an empty part, as many a shell profile leaves it."""
    source, mark = tmp_path / "in", tmp_path / "mark"
    write_series(source, slices=4)
    jpeg_2000_that_aborts(9, source / "deadly")
    spring_traps(source, mark)
    words = [sys.executable, "-P", "-c", command, "prepare", ".", tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": path + os.environ.get("PYTHONPATH", "")}
    if path:
        # The stand-ins for what Python itself imports at its start are out of our hands.
        for name in ("jaxharmo", "socket", "multiprocessing"):
            (source / f"{name}.py").unlink()
    done = subprocess.run(words, cwd=source, env=environment, capture_output=True, text=True)
    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("masks", [False, True])
def test_a_deadly_file_costs_one_slice(tmp_path, workers, masks):
    write_series(tmp_path / "in", slices=6)
    rle_that_panics(7, tmp_path / "in" / "a-panics")
    jpeg_2000_that_aborts(8, tmp_path / "in" / "z-aborts")
    jpeg_2000_that_aborts(2, tmp_path / "in" / "0-aborts-at-a-place-that-is-taken")
    # Another reconstruction of the same place, in which tissue is looked for.
    jpeg_2000_that_aborts(3, tmp_path / "in" / "twin", series="other", kernel="B70f")
    save(ct_slice(4, series="other", kernel="B70f"), tmp_path / "in" / "other")
    settings = {"body_only": True, "crop": "body"} if masks else {}
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", job=Job(workers=workers), **settings)
    assert skipped_files(tmp_path / "out") == {
        "a-panics": PANICS,
        "z-aborts": ABORTS,
        "0-aborts-at-a-place-that-is-taken": ABORTS,
        "twin": ABORTS,
    }
    found = [item for _, item in all_slices(tmp_path / "out", manifest)]
    assert len(found) == 7
    if not masks:
        for item in found:
            index = round(item.header.position / 2.5)
            np.testing.assert_array_equal(item.pixels, hounsfield(index))


@pytest.mark.slow
def test_a_deadly_file_costs_one_slice_on_dask(tmp_path):
    distributed = pytest.importorskip("distributed")
    write_series(tmp_path / "in", slices=6)
    rle_that_panics(7, tmp_path / "in" / "panics")
    jpeg_2000_that_aborts(8, tmp_path / "in" / "aborts")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, dashboard_address=None
    ) as cluster:
        job = Job(scheduler=cluster.scheduler_address)
        manifest, _ = prepared(tmp_path / "in", tmp_path / "out", job=job)
    assert skipped_files(tmp_path / "out") == {"panics": PANICS, "aborts": ABORTS}
    assert len(all_slices(tmp_path / "out", manifest)) == 6


def test_harmonize_names_a_deadly_file_and_does_the_other_series(tmp_path):
    for name in "abc":
        write_series(tmp_path / "in" / name, slices=3, series=name)
    jpeg_2000_that_aborts(3, tmp_path / "in" / "a" / "aborts", series="a")
    rle_that_panics(3, tmp_path / "in" / "b" / "panics", series="b")
    with pytest.raises(InputError, match=r"2 of 3 results failed; first: .*aborts: its decoder"):
        harmonized(tmp_path / "in", tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "out").parts[0] for path in files} == {"c"}
    (result,) = (tmp_path / "out" / "c").iterdir()
    assert len(outputs(result)) == 3


def abort(*_):
    os.abort()


def ask(size):
    with isolation.limited():
        return len(bytes(size))


def loop(seconds, slow, wait):
    isolation.SECONDS, isolation._SLOW = seconds, slow
    with isolation.limited():
        while True:
            time.sleep(wait)


@pytest.fixture
def helper():
    helper = Helper()
    yield helper
    helper.close()


def test_a_helper_outlives_its_tasks(helper):
    assert helper.call(abort, 1) == Death("SIGABRT")
    assert helper.call(len, "abc") == 3
    assert helper.call(os._exit, 3) == Death("exit code 3")
    with pytest.raises(ValueError, match="invalid literal"):
        helper.call(int, "x")
    with pytest.raises(RuntimeError, match="pickle"):
        helper.call(eval, "lambda: 0")
    killed = helper.call(signal.raise_signal, signal.SIGKILL)
    assert killed.from_outside
    assert helper.call(len, "abc") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_a_file_has_limits(helper):
    assert helper.call(ask, 1000) == 1000
    with pytest.raises(MemoryError):
        helper.call(ask, isolation.MEMORY + 1)
    assert helper.call(ask, isolation.MEMORY // 2) == isolation.MEMORY // 2
    busy = helper.call(loop, 0.2, 100, 0)
    assert busy == Death("SIGPROF")
    assert "longer" in busy.reason
    assert helper.call(loop, 0.2, 1, 1) == Death("SIGALRM")


def test_an_idle_helper_that_was_killed_is_replaced(helper):
    assert helper.call(len, "abc") == 3
    os.kill(helper._process.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert helper.call(len, "abcd") == 4
