import signal
import time

import pytest
from runs import TRAIN, assert_same_bits, finish, start

from jaxharmo.checkpoint import Checkpoints

STEPS = ("--train.steps", "40", "--train.checkpoint-every", "1000", "--train.sample-every", "1000")


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(phantom, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    finish(start(phantom, workdir, *STEPS))
    return workdir


@pytest.mark.slow
def test_sigterm_saves_and_the_next_run_goes_on_bit_for_bit(whole, phantom, tmp_path):
    process = start(phantom, tmp_path, *STEPS, script=TRAIN)
    metrics = tmp_path / "metrics.jsonl"
    wait_for(process, lambda: metrics.exists() and metrics.read_text().count("\n") >= 3)
    process.send_signal(signal.SIGTERM)
    said = finish(process, code=0)
    (step,) = Checkpoints(tmp_path).steps
    assert 3 <= step < 40
    assert f"SIGTERM: step {step} is saved" in said
    assert not (tmp_path / "eval").exists()
    assert f"resuming from step {step}" in finish(start(phantom, tmp_path, *STEPS))
    assert_same_bits(tmp_path, whole, 40)


@pytest.mark.slow
def test_sigterm_before_the_first_step_ends_at_once(phantom, tmp_path):
    process = start(phantom, tmp_path, *STEPS)
    wait_for(process, (tmp_path / "checkpoints").is_dir)
    process.send_signal(signal.SIGTERM)
    assert "nothing is lost" in finish(process, code=0)
    assert Checkpoints(tmp_path).steps == []
