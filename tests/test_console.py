"""Progress of a stage: a bar on a terminal, lines elsewhere."""

import io
import os
import pty
import subprocess
import sys
import termios

import pytest

from jaxharmo import console
from jaxharmo.console import Progress, track


@pytest.fixture
def clock(monkeypatch):
    """Sets the time that ``Progress`` reads."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_short_stage_is_one_line_with_its_rate(clock):
    lines = []
    with Progress("phantom", 56, "slice", lines.append) as progress:
        for _ in range(56):
            clock[0] += 0.25
            progress.advance()
    assert lines == ["phantom: 56/56 slices in 14 s, 4 slices/s"]


def test_a_long_stage_reports_every_five_minutes(clock):
    lines = []
    with Progress("training", 1000, "step", lines.append, done=400) as progress:
        for _ in range(6):
            clock[0] += 200
            progress.advance(100)
    assert lines == [
        "training: 600/1000 steps, 0.5 steps/s, 13 min left",
        "training: 800/1000 steps, 0.5 steps/s, 7 min left",
        "training: 1000/1000 steps, 0.5 steps/s, 0 s left",
        "training: 1000/1000 steps in 20 min, 0.5 steps/s",
    ]


def test_finished_items_of_an_earlier_run_do_not_count_towards_the_rate(clock):
    lines = []
    with Progress("prepare", 1000, "slice", lines.append) as progress:
        progress.skip(900)
        clock[0] += 10
        progress.advance(100)
    assert lines == ["prepare: 1000/1000 slices in 10 s, 10 slices/s"]


def test_a_stage_without_a_summary_is_silent_while_it_is_short(clock):
    lines = []
    with Progress("headers", 2, "file", lines.append, summary=False) as progress:
        progress.advance()
        clock[0] += 301
        progress.advance()
    assert lines == ["headers: 2/2 files, 0.0066 files/s, 0 s left"]


def test_a_stage_that_fails_does_not_end_with_a_line():
    lines = []
    with pytest.raises(KeyError), Progress("training", 9, "step", lines.append):
        raise KeyError
    assert not lines


def test_a_process_beside_the_main_one_is_silent(capsys):
    with Progress("training", 1, "step", shown=False) as progress:
        progress.advance()
    assert capsys.readouterr().err == ""


def test_the_items_pass_through():
    lines = []
    assert list(track(iter("abc"), 3, "phantom", "slice", lines.append)) == ["a", "b", "c"]
    assert len(lines) == 1


def test_a_bar_with_rate_and_time_left_on_a_terminal():
    """The message stands on a line of its own, above the bar."""
    code = """
import time
from jaxharmo.console import Progress, message
with Progress("training", 4, "step") as progress:
    for step in range(4):
        time.sleep(0.15)
        progress.advance()
        if step == 1:
            message("saved")
"""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs) as process:
        os.close(theirs)
        shown = io.BytesIO()
        # At the end of the process a read of the terminal fails.
        try:
            while part := os.read(ours, 4096):
                shown.write(part)
        except OSError:
            pass
        os.close(ours)
        assert process.wait() == 0
    text = shown.getvalue().decode()
    assert "steps/s" in text
    assert "2/4 [00:00<00:00" in text
    assert "100%" in text
    assert any(line.strip("\r ") == "saved" for line in text.replace("\r", "\n").splitlines())
