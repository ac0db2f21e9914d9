"""Runs of ``train.py`` as processes of their own, shared by the tests of this folder."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from jaxharmo.checkpoint import Checkpoints
from jaxharmo.models.networks import build
from jaxharmo.saved_config import read_config
from jaxharmo.training.optim import build_optimizers
from jaxharmo.training.state import init_state

ROOT = Path(__file__).parents[2]
TRAIN = ("train.py",)
TRAIN_ONLY = (
    "-c",
    "import sys; from jaxharmo import flags; from jaxharmo.commands import train; "
    "train.evaluate_run = lambda *_: 'no evaluation'; "
    "flags.run(lambda: train.parse(sys.argv[1:], 'train.py').run())",
)


def start(phantom, workdir, *options, script=TRAIN_ONLY, devices=1):
    """A process that trains the small config on the phantom."""
    words = ("--config", "tests/small.py", "--data", phantom, "--workdir", workdir, *options)
    return subprocess.Popen(
        [sys.executable, *script, *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, code=0):
    """Wait for a process; what it said."""
    said, _ = process.communicate()
    assert process.returncode == code, said
    return said


def state_of(workdir, step):
    """Everything in a checkpoint, as a flat list of arrays."""
    config = read_config(workdir)
    networks = build(config)
    optimizers = build_optimizers(config.optim, networks.__dataclass_fields__)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(
        lambda leaf: leaf.update(sharding=device),
        jax.eval_shape(lambda: init_state(networks, optimizers, config)),
    )
    rest = {"step": like.step, "params": like.params, "opt_state": like.opt_state}
    trees = Checkpoints(workdir).restore(step, {"ema": like.ema, "state": rest})
    return [np.asarray(leaf) for leaf in jax.tree.leaves(trees)]


def assert_same_bits(workdir, other, step):
    """Parameters, average, optimizers' state and step of two runs are equal, bit for bit."""
    found, expected = state_of(workdir, step), state_of(other, step)
    assert len(found) > 100
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two, strict=True)
