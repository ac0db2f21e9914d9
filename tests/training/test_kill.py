"""SIGKILL at random moments changes nothing in what comes out."""

import signal
import time

import numpy as np
import pytest
from runs import assert_same_bits, finish, start

from jaxharmo.checkpoint import Checkpoints

KILLS = 10
STEPS = 4 * KILLS
# A save after every step: most moments lie in one.
OPTIONS = (
    *("--train.steps", str(STEPS), "--train.checkpoint-every", "1", "--train.sample-every", "20"),
    *("--loss.texture", "0", "--loss.diversity", "0"),
)


@pytest.mark.slow
def test_ten_kills_and_the_parameters_of_the_uninterrupted_run(phantom, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(phantom, whole, *OPTIONS))
    random, during_a_save = np.random.default_rng(0), 0
    for kill in range(KILLS):
        process = start(phantom, killed, *OPTIONS)
        # Even kills some time after the first new checkpoint, odd ones once a save is under way.
        before = max(Checkpoints(killed).steps, default=0)
        while max(Checkpoints(killed).steps, default=0) == before:
            assert process.poll() is None, process.communicate()
            time.sleep(0.001)
        if kill % 2:
            while not list((killed / "checkpoints").glob("*.partial*")):
                assert process.poll() is None, process.communicate()
            time.sleep(random.uniform(0, 0.03))
        else:
            time.sleep(random.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        during_a_save += bool(list((killed / "checkpoints").glob("*.partial*")))
        assert max(Checkpoints(killed).steps) < STEPS
    assert during_a_save >= 2
    assert "resuming from step" in finish(start(phantom, killed, *OPTIONS))
    assert_same_bits(killed, whole, STEPS)
