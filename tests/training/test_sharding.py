"""The step on 8 devices is the step on one; what lies where, and what goes between devices."""

import re
from functools import cache, partial

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh
from small import SMALL, make_batch

from jaxharmo.models.networks import build
from jaxharmo.runtime import DATA, place_state, replicated, to_global
from jaxharmo.training.optim import build_optimizers
from jaxharmo.training.state import init_state
from jaxharmo.training.step import build_step

# Compiles the whole step three times for eight devices.
pytestmark = pytest.mark.slow

COLLECTIVE = re.compile(
    r"\b(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)


def one_step(devices, *, shard):
    """Compiled text, metrics, bytes of the state on one device, and the state after one step."""
    mesh = Mesh(np.array(jax.devices()[:devices]), (DATA,), axis_types=(AxisType.Auto,))
    networks = build(SMALL)
    optimizers = build_optimizers(SMALL.optim, networks.__dataclass_fields__)
    begin = partial(init_state, networks, optimizers, SMALL)
    placed = place_state(mesh, jax.eval_shape(begin), shard=shard)
    state = jax.device_put(initial_state(), placed)
    step = jax.jit(
        build_step(networks, optimizers, SMALL), out_shardings=(placed, replicated(mesh))
    )
    batch = to_global(mesh, make_batch())
    compiled = step.lower(state, batch).compile()
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
    state, metrics = compiled(state, batch)
    return compiled.as_text(), jax.device_get(metrics), held, jax.device_get(state)


@cache
def initial_state():
    networks = build(SMALL)
    optimizers = build_optimizers(SMALL.optim, networks.__dataclass_fields__)
    return jax.device_get(jax.jit(partial(init_state, networks, optimizers, SMALL))())


@pytest.fixture(scope="module")
def alone():
    return one_step(1, shard=False)


def assert_same(found, expected):
    """Losses, and the gradients as Adam's second moment after the first step has them."""
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-5, atol=1e-7, err_msg=name)
    moments = [
        [np.sqrt(leaf) for path, leaf in jax.tree.leaves_with_path(state.opt_state) if nu(path)]
        for state in (found[3], expected[3])
    ]
    assert moments[0]
    for one, other in zip(*moments, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.max(other))


def nu(path):
    return ".nu" in jax.tree_util.keystr(path)


def test_eight_devices_are_one_and_only_sums_go_between_them(alone):
    eight = one_step(8, shard=False)
    assert_same(eight, alone)
    assert set(COLLECTIVE.findall(eight[0])) == {"all-reduce"}
    assert eight[2] == alone[2]


def test_a_sharded_state_is_the_same_run_in_less_memory(alone):
    sharded = one_step(8, shard=True)
    assert_same(sharded, alone)
    assert sharded[2] < alone[2]


def test_leaves_are_cut_along_their_longest_divisible_axis():
    mesh = Mesh(np.array(jax.devices()), (DATA,), axis_types=(AxisType.Auto,))
    shapes = {"kernel": (3, 3, 64, 128), "odd": (33, 35), "small": (8, 8), "first": (4096, 9)}
    state = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    specs = {name: place.spec for name, place in place_state(mesh, state, shard=True).items()}
    assert specs == {
        "kernel": (None, None, None, DATA),
        "odd": (),
        "small": (),
        "first": (DATA,),
    }
    whole = place_state(mesh, state, shard=False)
    assert all(place.is_fully_replicated for place in whole.values())
