"""Two processes on one machine are one run, and evaluate once."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from runs import ROOT, TRAIN, TRAIN_ONLY, finish, start, state_of
from same_figures import assert_same_figures

from jaxharmo.checkpoint import Checkpoints
from jaxharmo.errors import InputError
from jaxharmo.runtime import Cluster, start_distributed

OPTIONS = ("--train.checkpoint-every", "2", "--train.log-every", "1")
EVALUATION = ("--eval.tile", "32", "--eval.radiomics", "native", "--eval.max-slices", "1")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_two(phantom, workdir, *options, script=TRAIN_ONLY, **start_options):
    cluster = ("--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", 2)
    return [
        start(
            phantom,
            workdir,
            *OPTIONS,
            *options,
            *cluster,
            *("--process", number),
            script=script,
            **start_options,
        )
        for number in range(2)
    ]


def metrics(workdir):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def assert_same_run(workdir, other, step):
    for found, expected in zip(metrics(workdir), metrics(other), strict=True):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=2e-3, atol=1e-6, err_msg=name)
    first, alone = metrics(workdir)[0], metrics(other)[0]
    for name in ("generator/latent/cycle", "discriminator/latent/real"):
        np.testing.assert_allclose(first[name], alone[name], rtol=1e-5, err_msg=name)
    for found, expected in zip(state_of(workdir, step), state_of(other, step), strict=True):
        assert found.shape == expected.shape


@pytest.fixture(scope="module")
def alone(phantom, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone")
    finish(start(phantom, workdir, *OPTIONS, "--train.steps", 4))
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--train.shard-state",)], ids=["replicated", "sharded"])
def test_written_by_two_restored_by_one_and_the_reverse(options, alone, phantom, tmp_path):
    both, reverse = tmp_path / "both", tmp_path / "reverse"
    for process in start_two(phantom, both, *options, "--train.steps", 2):
        finish(process)
    assert Checkpoints(both).steps == [2]
    finish(start(phantom, both, *OPTIONS, *options, "--train.steps", 4))
    assert_same_run(both, alone, 4)

    finish(start(phantom, reverse, *OPTIONS, *options, "--train.steps", 2))
    for process in start_two(phantom, reverse, *options, "--train.steps", 4):
        assert "resuming from step 2" in finish(process)
    assert_same_run(reverse, alone, 4)


@pytest.mark.slow
def test_two_processes_stop_at_one_step_and_evaluate_once(phantom, tmp_path):
    steps = ("--train.steps", 400, "--train.checkpoint-every", 1000)
    first, second = start_two(phantom, tmp_path, *steps)
    while not (tmp_path / "metrics.jsonl").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second.send_signal(signal.SIGTERM)
    said = [finish(process) for process in (first, second)]
    (step,) = Checkpoints(tmp_path).steps
    assert 0 < step < 400
    assert all(f"step {step} is saved" in words for words in said)
    end = ("--train.steps", step + 1, *EVALUATION)
    first, second = start_two(phantom, tmp_path, *end, script=TRAIN)
    assert "report.html" in finish(first)
    assert "report.html" not in finish(second)
    output = tmp_path / "eval" / str(step + 1)
    assert (output / "report.html").exists()
    together = json.loads((output / "metrics.json").read_text())
    words = [sys.executable, "eval.py", "--workdir", str(tmp_path)]
    alone = {"JAX_NUM_CPU_DEVICES": "1"}
    subprocess.run(words, cwd=ROOT, env=os.environ | alone, check=True, capture_output=True)
    assert_same_figures(together, json.loads((output / "metrics.json").read_text()))


@pytest.mark.slow
def test_a_resumed_run_of_two_stops_for_a_signal_before_its_first_step(phantom, tmp_path):
    for process in start_two(phantom, tmp_path, "--train.steps", 4):
        finish(process)
    first, second = start_two(phantom, tmp_path, "--train.steps", 400)
    assert first.stdout
    while "compiling the training step" not in first.stdout.readline():
        assert first.poll() is None
    second.send_signal(signal.SIGTERM)
    said = [finish(process) for process in (first, second)]
    assert all("SIGTERM: step 5 is saved" in words or "SIGTERM: step 6" in words for words in said)


def test_two_members_save_a_cut_state_stop_together_and_part(tmp_path):
    port, script = free_port(), Path(__file__).with_name("member.py")
    words = [sys.executable, script, str(port)]
    members = [
        subprocess.Popen(
            [*words, str(number), tmp_path],
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    while not all((tmp_path / f"started-{number}").exists() for number in range(2)):
        assert all(member.poll() is None for member in members), members[0].communicate()
        time.sleep(0.05)
    members[1].send_signal(signal.SIGTERM)
    (step,) = {finish(member).split("stopped at ")[1].strip() for member in members}
    assert Checkpoints(tmp_path).steps == [int(step)]
    reader = Checkpoints(tmp_path).restore(int(step), {"tree": {"numbers": jnp.zeros(4096)}})
    expected = np.arange(4096, dtype=np.float32) + int(step)
    np.testing.assert_array_equal(reader["tree"]["numbers"], expected)


@pytest.mark.slow
def test_a_process_that_finds_no_others_does_not_train_alone(phantom, tmp_path):
    place = f"127.0.0.1:{free_port()}"
    cluster = ("--coordinator", place, "--processes", 2, "--process", 1)
    process = start(phantom, tmp_path, "--distributed", *cluster, "--join-seconds", 2)
    assert "no cluster to join" in finish(process, code=2)
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match="are for --distributed"):
        start_distributed(Cluster(coordinator=place, processes=2, process=1))
