"""The step on 8 devices is the step on one; what lies where, and what goes between devices."""

import re
from functools import cache, partial

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh, PartitionSpec
from same_step import assert_same_step
from small import SMALL, STEERED, make_batch, replace

from jaxharmo.models.networks import build
from jaxharmo.runtime import DATA, make_mesh, place_state, replicated, to_global
from jaxharmo.training.program import step_program
from jaxharmo.training.state import init_state
from jaxharmo.training.step import build_step

COLLECTIVE = re.compile(
    r"\b(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)


@cache
def parts():
    """Networks, optimizers, and the state before the first step.

    Plain gradient descent, because Adam divides a gradient by its own size, and rounding with it;
    its momentum never fades, so that it is the sum of the gradients of a network's updates.
    """
    networks = build(SMALL)
    optimizers = dict.fromkeys(networks.__dataclass_fields__, optax.sgd(1e-3, momentum=1.0))
    begin = partial(init_state, networks, optimizers, SMALL)
    return networks, optimizers, jax.device_get(jax.jit(begin)())


def one_step(devices, *, shard):
    """State and metrics after one step; its compiled text; bytes of the state on one device."""
    mesh = Mesh(np.array(jax.devices()[:devices]), (DATA,), axis_types=(AxisType.Auto,))
    networks, optimizers, before = parts()
    placed = place_state(mesh, before, shard=shard)
    state = jax.device_put(before, placed)
    step = jax.jit(
        build_step(networks, optimizers, SMALL, at_once=True),
        out_shardings=(placed, replicated(mesh)),
    )
    batch = to_global(mesh, make_batch())
    compiled = step.lower(state, batch).compile()
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
    state, metrics = compiled(state, batch)
    return jax.device_get((state, metrics)), compiled.as_text(), held


@pytest.fixture(scope="module")
def alone():
    return one_step(1, shard=False)


@pytest.mark.slow
def test_eight_devices_are_one_and_only_sums_go_between_them(alone):
    after, text, held = one_step(8, shard=False)
    assert_same_step(*after, *alone[0], gradients="trace")
    assert set(COLLECTIVE.findall(text)) == {"all-reduce"}
    assert held == alone[2]


@pytest.mark.slow
def test_a_sharded_state_is_the_same_run_in_less_memory(alone, monkeypatch):
    monkeypatch.setattr("jaxharmo.runtime._SMALLEST_CUT", 32)
    after, text, held = one_step(8, shard=True)
    assert_same_step(*after, *alone[0], gradients="trace")
    assert "all-gather" in text
    print(f"bytes of the state on each device: {held:,}, not sharded {alone[2]:,}")
    assert held < alone[2] / 4


def test_leaves_are_cut_along_their_longest_divisible_axis():
    mesh = Mesh(np.array(jax.devices()), (DATA,), axis_types=(AxisType.Auto,))
    shapes = {"kernel": (3, 3, 64, 128), "odd": (33, 35), "small": (8, 8), "first": (4096, 9)}
    state = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    specs = {name: place.spec for name, place in place_state(mesh, state, shard=True).items()}
    assert specs == {
        "kernel": PartitionSpec(None, None, None, DATA),
        "odd": PartitionSpec(),
        "small": PartitionSpec(),
        "first": PartitionSpec(DATA),
    }
    whole = place_state(mesh, state, shard=False)
    assert all(place.is_fully_replicated for place in whole.values())


def test_sums_of_changes_stay_whole():
    config = replace(
        SMALL,
        model=STEERED,
        texture={"compare": "changes", "aggregation": "noise"},
        data={"domains": tuple("ABCDEFGH")},
        train={"shard_state": True},
    )
    state = step_program(config, make_mesh()).state
    assert max(leaf.size for leaf in jax.tree.leaves(state.changes)) >= 1024
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.changes))
