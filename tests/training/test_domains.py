"""The domains before the first step, against one description of all crops at once."""

import jax
import jax.numpy as jnp
import numpy as np
from small import TINY, replace

from jaxharmo.config import FilterGenerator
from jaxharmo.losses.descriptors import DESCRIPTORS
from jaxharmo.ops.intensity import normalize
from jaxharmo.training.domains import describe_domains, reaching
from jaxharmo.training.terms import empty_changes

LOSSES = dict.fromkeys(DESCRIPTORS, 1.0)
CONFIG = replace(
    TINY,
    data={"domains": ("A -- soft", "A -- sharp", "B -- soft"), "crop": 64},
    texture={"compare": "changes", "aggregation": "mean", "normalization": "relative"},
    loss=LOSSES,
)


def crops_of(number, pixel=0.0):
    """Noise, which differs by domain and, here, by pixel."""
    assert not pixel or abs(pixel / 0.9 - 1) < 0.011, "the coarser of both, within half a step"
    random = np.random.default_rng(number)
    crops = random.normal(40 * number, 30 + 20 * number, (21, 64, 64)).astype(np.int16)
    return 2 * crops[:16] if pixel else crops


def pixel_of(number):
    return (0.7, 0.7, 0.9)[number]


def described(name, crops):
    images = normalize(jnp.asarray(crops), CONFIG.data.window)[..., None]
    return np.asarray(jax.jit(DESCRIPTORS[name](CONFIG).describe)(images), np.float64)


def test_means_and_variances_are_those_of_all_crops():
    memories = describe_domains(CONFIG, crops_of, pixel_of)
    assert set(memories) == set(DESCRIPTORS)
    for name, memory in memories.items():
        for number in range(3):
            cells = described(name, crops_of(number))
            np.testing.assert_allclose(memory.mean[number], cells.mean(0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(
                memory.variance_of_real[number], cells.var(0), rtol=1e-3, atol=1e-5
            )
        assert not np.any(memory.change_count)


def test_scanners_are_compared_at_one_pixel():
    for name, memory in describe_domains(CONFIG, crops_of, pixel_of).items():
        even = [described(name, crops_of(number)).mean(0) for number in range(3)]
        coarse = [described(name, crops_of(number, 0.9)).mean(0) for number in range(3)]
        close = {"rtol": 1e-3, "atol": 1e-3}
        np.testing.assert_allclose(memory.wanted[0, 1], even[1] - even[0], **close)
        np.testing.assert_allclose(memory.wanted[1, 2], coarse[2] - coarse[1], **close)
        np.testing.assert_array_equal(memory.wanted, -memory.wanted.swapaxes(0, 1))


def test_shapes_are_those_that_the_step_is_compiled_for():
    memories, empty = describe_domains(CONFIG, crops_of, pixel_of), empty_changes(CONFIG)
    for name in empty:
        for one, other in zip(
            vars(memories[name]).values(), vars(empty[name]).values(), strict=True
        ):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_without_change_losses_no_crop_is_read():
    config = replace(CONFIG, loss=dict.fromkeys(LOSSES, 0.0))
    assert describe_domains(config, crops_of=None, pixel_of=None) == {}


def test_filters_in_mm_reach_as_far_as_the_finest_pixels():
    reach = {}
    for name, generator in {
        "found": FilterGenerator(in_mm=True),
        "given": FilterGenerator(in_mm=True, pixel=0.5),
        "per pixel": FilterGenerator(),
    }.items():
        config = reaching(replace(CONFIG, model={"generator": generator}), [0.9, 0.7])
        reach[name] = config.model.generator.pixel
    assert reach == {"found": 0.7, "given": 0.5, "per pixel": 0.0}
