"""Everything that runs on an accelerator, compiled for accelerators that are not here.

Minutes a case and hours for all, so choose: ``pytest -n 0 -m plan -k "step and lidc and h100"``.
"""

import dataclasses
import re
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from jaxharmo.config_files import load_config
from jaxharmo.errors import InputError
from jaxharmo.hlo import read_program
from jaxharmo.models.efficientnet import EfficientNetLite0
from jaxharmo.models.inception import Inception
from jaxharmo.models.networks import build
from jaxharmo.ops.glcm import PUBLISHED, GlcmConfig, glcm_features, glcm_matrices
from jaxharmo.planning.machines import find_machine
from jaxharmo.planning.plan import processor_time
from jaxharmo.planning.target import absent_devices, check_compiler
from jaxharmo.runtime import make_mesh, replicated, split_by_batch
from jaxharmo.training.program import Memory, step_program
from jaxharmo.training.step import build_updates
from jaxharmo.translator import Steering, _translate, averaged_shapes

pytestmark = [pytest.mark.plan, pytest.mark.slow]

CONFIGS = (
    *("demo", "smoke", "kernel_pairs", "scanners", "iterative"),
    *("lidc", "lidc_baseline", "lidc_texture"),
)
MACHINES = {
    "v5e": "v5e:2x4",
    "v5p": "v5p:2x2x2",
    "v6e": "v6e:2x4",
    "h100": "h100:8",
    "b200": "b200:8",
}
"""Of eight devices; for one, the first of them."""
LAYOUTS = {"one": (1, False), "eight": (8, False), "sharded": (8, True)}
"""Devices, and whether the state is split over them."""
MORE_ALL_REDUCES = 2
"""More than updates: gradients of two dtypes are summed apart."""
MOST_SECONDS = {"step": 360, "texture": 20}
"""Processor time of a compilation; idle, and with two cores, that of the clock is less."""
CALLS_OF_THE_HOST = re.compile(r"callback|\b(infeed|outfeed)\(|is_host_transfer=true")


class Compiled(NamedTuple):
    text: str
    memory: Memory
    seconds: float


def devices_of(card, count):
    machine = find_machine(MACHINES[card])
    try:
        check_compiler(machine.card.kind)
    except InputError as missing:
        pytest.skip(str(missing))
    return absent_devices(machine)[:count]


def compiled(lowered):
    started = processor_time()
    # As outside of tests, which compile without optimization.
    program = lowered.compile({"xla_backend_optimization_level": 3})
    return Compiled(program.as_text(), Memory.of(program), processor_time() - started)


def check_program(found, card):
    """Fits, in 32 bits, and never asks the host."""
    usable = find_machine(MACHINES[card]).card
    assert found.memory.peak <= usable.memory * usable.share
    assert "f64[" not in found.text
    assert not CALLS_OF_THE_HOST.search(found.text)


def shaped(place, *shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=place)


def of_config(name, shard=False):
    """Eight samples, one a device; the published networks in bfloat16, to fit a TPU v5e."""
    config = load_config(name)
    data = dataclasses.replace(config.data, domains=config.data.domains or ("A", "B", "C"))
    dtype = "bfloat16" if config.model.width >= 32 else config.train.compute_dtype
    train = dataclasses.replace(config.train, batch_size=8, shard_state=shard, compute_dtype=dtype)
    return dataclasses.replace(config, data=data, train=train)


@pytest.mark.parametrize("card", MACHINES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_step(name, layout, card):
    count, shard = LAYOUTS[layout]
    config = of_config(name, shard)
    program = step_program(config, make_mesh(devices_of(card, count)))
    found = compiled(program.lower())
    check_program(found, card)
    collectives = read_program(found.text).collectives
    if count == 1:
        assert not collectives
    else:
        updates = build_updates(program.networks, program.optimizers, config)
        assert collectives["all-reduce"].count <= len(updates) + MORE_ALL_REDUCES
        assert "collective-permute" not in collectives
        assert shard or set(collectives) == {"all-reduce"}
    assert found.seconds < MOST_SECONDS["step"]


@pytest.mark.parametrize("card", MACHINES)
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", CONFIGS)
def test_translation(name, count, card):
    config, mesh = of_config(name), make_mesh(devices_of(card, count))
    weights = jax.tree.map(
        lambda leaf: shaped(replicated(mesh), *leaf.shape, dtype=leaf.dtype),
        averaged_shapes(config)["generator"],
    )
    slices = shaped(split_by_batch(mesh), 8, 512, 512)
    style = shaped(replicated(mesh), config.model.style_dim)
    steering = Steering(style, style, shaped(replicated(mesh)))
    translate = jax.jit(partial(_translate, build(config), config))
    found = compiled(translate.lower(weights, slices, steering))
    check_program(found, card)
    assert not read_program(found.text).collectives


@pytest.mark.parametrize("card", MACHINES)
@pytest.mark.parametrize(
    ("network", "size"), [(EfficientNetLite0(), 64), (Inception(), 299)], ids=["lite0", "inception"]
)
def test_extractors_of_features(network, size, card):
    place = jax.sharding.SingleDeviceSharding(devices_of(card, 1)[0])
    images = shaped(place, 32, size, size)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(images.shape))
    weights = jax.tree.map(lambda leaf: shaped(place, *leaf.shape, dtype=leaf.dtype), shapes)
    check_program(compiled(jax.jit(network.apply).lower(weights, images)), card)


FEATURES = ("joint_energy", "joint_entropy", "idm")
TEXTURES = {
    "contrast": (GlcmConfig(), ("contrast",)),
    "published": (PUBLISHED, ("contrast",)),
    **{f"matrices-{levels}": (GlcmConfig(levels=levels), ()) for levels in (64, 256)},
    "matrices-published": (PUBLISHED, ()),
    "product": (GlcmConfig(levels=64, method="product"), ()),
    "features": (GlcmConfig(levels=64), FEATURES),
}


@pytest.mark.parametrize("card", MACHINES)
@pytest.mark.parametrize("name", TEXTURES)
def test_textures(name, card):
    config, features = TEXTURES[name]
    images = shaped(jax.sharding.SingleDeviceSharding(devices_of(card, 1)[0]), 8, 256, 256)

    def texture(images):
        if not features:
            return glcm_matrices(images, config)
        of_features = lambda x: sum(f.sum() for f in glcm_features(x, config, features).values())  # noqa: E731
        return jax.value_and_grad(of_features)(images)

    found = compiled(jax.jit(texture).lower(images))
    check_program(found, card)
    assert found.seconds < MOST_SECONDS["texture"]


@pytest.mark.parametrize("card", ["v5e", "v5p", "v6e", "h100"])
@pytest.mark.parametrize("levels", [64, 256])
def test_the_fused_kernel(levels, card):
    config = GlcmConfig(levels=levels, method="pallas")
    images = shaped(jax.sharding.SingleDeviceSharding(devices_of(card, 1)[0]), 8, 256, 256)
    found = compiled(jax.jit(lambda images: glcm_matrices(images, config)).lower(images))
    check_program(found, card)
    assert re.search(r"mosaic_gpu|tpu_custom_call", found.text)
    assert found.seconds < MOST_SECONDS["texture"]
