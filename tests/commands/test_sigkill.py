"""SIGKILL at random moments, two at once on the same outputs: nothing half-done, nothing lost."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from dicom_files import write_series
from prepared import contents
from test_commands import JAXHARMO, ROOT, train_words

from jaxharmo.checkpoint import find_damage

KILLS = 5
"""Of each command."""


def start(words, folder):
    with open(folder / "said.txt", "ab") as said:
        return subprocess.Popen(
            [sys.executable, *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said
        )


def survive(words, folder, check, seed):
    """Kill it ``KILLS`` times, then let it end; each time a second one is refused or late."""
    began = time.monotonic()
    first = start(words("timed"), folder)
    assert first.wait() == 0, (folder / "said.txt").read_text()
    seconds = time.monotonic() - began
    refused = killed = 0
    random = np.random.default_rng(seed)
    # The first seconds are the start of Python and JAX, in which nothing is written.
    for moment in random.uniform(0.4, 1.0, KILLS) * seconds:
        one, other = start(words("killed"), folder), start(words("killed"), folder)
        time.sleep(moment)
        for process in (one, other):
            with contextlib.suppress(ProcessLookupError):
                killed += process.poll() is None
                process.send_signal(signal.SIGKILL)
        codes = {one.wait(), other.wait()}
        assert codes <= {0, 2, -signal.SIGKILL}, (folder / "said.txt").read_text()
        refused += 2 in codes
        check("killed")
    last, second = start(words("killed"), folder), start(words("killed"), folder)
    assert {last.wait(), second.wait()} <= {0, 2}, (folder / "said.txt").read_text()
    assert start(words("killed"), folder).wait() == 0
    said = (folder / "said.txt").read_text()
    assert "Traceback" not in said
    assert killed
    print(f"\n{folder.name}: {killed} killed, in {refused} of {KILLS} rounds one was refused")
    return said


def holds_nothing_else_than(whole, part):
    """Files under final names are those of an undisturbed run, byte for byte."""
    for name, data in part.items():
        if "partial" not in str(name) and name.suffix not in (".lock", ".json") and name in whole:
            assert data == whole[name], name


@pytest.mark.slow
def test_prepare(tmp_path):
    for patient in range(2):
        for kernel in ("B30f", "B70f"):
            name = f"{patient}{kernel}"
            options = {"patient": f"p{patient}", "series": name, "kernel": kernel}
            write_series(tmp_path / "in", slices=30, size=128, **options)

    def words(name):
        return (
            *JAXHARMO,
            "prepare",
            tmp_path / "in",
            tmp_path / name,
            "--crop",
            "body",
            "--split-gap",
            "1",
        )

    def check(name):
        holds_nothing_else_than(contents(tmp_path / "timed"), contents(tmp_path / name))

    said = survive(words, tmp_path, check, seed=0)
    assert contents(tmp_path / "killed") == contents(tmp_path / "timed")
    assert "at work on this shard set" in said


@pytest.fixture(scope="module")
def run_folder(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    process = start(train_words(phantom, folder / "run", 4), folder)
    assert process.wait() == 0, (folder / "said.txt").read_text()
    return folder / "run"


@pytest.mark.slow
def test_training_and_evaluation(phantom, tmp_path):
    def words(name):
        return train_words(phantom, tmp_path / name, 40)

    def check(name):
        for path in (tmp_path / name / "checkpoints").glob("[0-9]*"):
            if path.name.isdigit():
                with contextlib.suppress(FileNotFoundError):
                    assert find_damage(path) is None, path
        for path in (tmp_path / name).glob("eval/*/metrics.json"):
            assert (path.parent / "report.html").exists()

    said = survive(words, tmp_path, check, seed=1)
    assert "at work on this run" in said
    lines = (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len((tmp_path / "timed" / "metrics.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_evaluation(run_folder, tmp_path):
    for name in ("timed", "killed"):
        shutil.copytree(run_folder, tmp_path / name, ignore=shutil.ignore_patterns("eval"))

    def words(name):
        return ("eval.py", "--workdir", tmp_path / name)

    def check(name):
        for path in (tmp_path / name).glob("eval/*/metrics.json"):
            assert (path.parent / "report.html").exists()

    survive(words, tmp_path, check, seed=2)
    assert (tmp_path / "killed" / "eval" / "4" / "report.html").exists()


@pytest.mark.slow
def test_harmonize(run_folder, tmp_path):
    for name in "abc":
        write_series(tmp_path / "in" / name, slices=12, series=name)
    target, origin = "PHANTOM Ellipse -- B30f", "PHANTOM Ellipse -- B70f"

    def words(name):
        chosen = ("--workdir", run_folder, "--to", target, "--from", origin)
        return (*JAXHARMO, "harmonize", *chosen, tmp_path / "in", tmp_path / name)

    def check(name):
        holds_nothing_else_than(contents(tmp_path / "timed"), contents(tmp_path / name))
        for folder in (tmp_path / name).glob("*/*"):
            assert "partial" in folder.name or len(list(folder.glob("*.dcm"))) == 12

    survive(words, tmp_path, check, seed=3)
    assert contents(tmp_path / "killed") == contents(tmp_path / "timed")
