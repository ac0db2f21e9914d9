"""The change losses: sums, gaps and weights against literal forms; where their gradients lead."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxharmo.config import Config, DataConfig, TextureConfig
from jaxharmo.losses.changes import (
    AGGREGATIONS,
    Gaps,
    Memory,
    change_loss,
    noise_weights,
    remember,
    separation_weights,
)
from jaxharmo.losses.descriptors import BANDS, DESCRIPTORS, LEVELS
from jaxharmo.ops.activity import RANGE, active_bands
from jaxharmo.ops.blur import binomial_blur
from jaxharmo.ops.glcm import GlcmConfig, glcm_features
from jaxharmo.ops.pyramid import pyramid
from jaxharmo.ops.spectrum import radial_power
from jaxharmo.runtime import make_mesh, to_global

SIDE, BATCH = 64, 16
SAME = jnp.ones((2, 2))
WINDOW = (-1024.0, 1500.0)
CONFIG = Config(
    data=DataConfig(window=WINDOW),
    texture=TextureConfig(glcm=GlcmConfig(levels=64), features=("contrast",), resolutions=1),
)
SEVERAL = dataclasses.replace(
    CONFIG,
    texture=dataclasses.replace(
        CONFIG.texture, features=("contrast", "correlation"), resolutions=3
    ),
)
"""Cells of each kind. Where gradients are taken one is enough: programs grow with their number."""
TABLE = {name: make(CONFIG) for name, make in DESCRIPTORS.items()}


def noise(seed, scale=0.1, count=BATCH):
    return scale * jax.random.normal(jax.random.key(seed), (count, SIDE, SIDE, 1))


def smooth(images):
    return binomial_blur(binomial_blur(images))


@functools.cache
def domains_of(name):
    """The memory of noise (domain 0) and smoothed noise (domain 1), before any translation."""
    describe = jax.jit(TABLE[name].describe)
    real = [describe(images) for images in (noise(1000, count=128), smooth(noise(2000, count=128)))]
    return Memory.start(
        *(jnp.stack([of(cells, 0) for cells in real]) for of in (jnp.mean, jnp.var))
    )


def added(memory, before, after, *domains):
    """One description's sums with a batch."""
    return remember({"it": memory}, {"it": before}, {"it": after}, *domains)["it"]


def history_of(name, translate, steps, start):
    """The sums after steps from noise to smoothed noise."""
    first, second = jnp.zeros(BATCH, int), jnp.ones(BATCH, int)

    def add(step, memory):
        source = noise(step)
        cells = [TABLE[name].describe(images) for images in (source, translate(source))]
        return added(memory, *cells, first, second)

    return jax.lax.fori_loop(0, steps, add, start)


@functools.cache
def history(name, translate, steps=12):
    return jax.jit(lambda start: history_of(name, translate, steps, start))(domains_of(name))


def loss(name, images, memory, same=SAME, aggregation="mean"):
    return loss_of_cells(name, TABLE[name].describe(images), memory, same, aggregation)


def loss_of_cells(name, described, memory, same=SAME, aggregation="mean"):
    first, second = jnp.zeros(len(described), int), jnp.ones(len(described), int)
    aggregate = AGGREGATIONS["sum" if TABLE[name].shares else aggregation]
    return change_loss(described, first, second, memory, TABLE[name], aggregate, same)


def test_radial_power_against_a_fourier_transform():
    image = np.asarray(noise(0, count=1), np.float64)[0, :, :, 0]
    window = np.sin(np.pi * (np.arange(SIDE) + 0.5) / SIDE) ** 2
    window = np.outer(window, window)
    spectrum = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE)] * 2))
    ends = ((np.arange(BANDS) + 2) / (BANDS + 1)) ** 1.5 * np.sqrt(0.5)
    found = np.asarray(radial_power(jnp.asarray(image[None]), BANDS))[0]
    low = 0.0
    for number, high in enumerate(ends):
        inside = (frequency >= low) & (frequency < high + 1e-9 * (number == BANDS - 1))
        np.testing.assert_allclose(found[number], spectrum[inside].mean(), rtol=1e-4)
        low = high


def test_white_noise_has_its_variance_in_every_band():
    power = np.asarray(radial_power(noise(0, count=256)[..., 0], BANDS)).mean(0)
    np.testing.assert_allclose(power[1:], 0.01, rtol=0.05)


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_a_descriptor_has_as_many_cells_as_it_says(name):
    descriptor = DESCRIPTORS[name](SEVERAL)
    assert jax.eval_shape(descriptor.describe, noise(0)).shape == (BATCH, descriptor.cells)


def test_shares_add_up_to_one_image():
    shares = TABLE["histogram"].describe(noise(0, scale=1.0))
    assert shares.shape == (BATCH, LEVELS)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)


def test_activity_is_the_shares_of_every_band():
    images = noise(0)
    shares = np.asarray(TABLE["activity"].describe(images)).reshape(BATCH, 3, -1)
    centres = np.linspace(*RANGE, shares.shape[-1])
    for number, band in enumerate(active_bands(images)):
        place = np.asarray(band.activity)[..., None]
        weights = np.maximum(0, 1 - np.abs(place - centres) / np.diff(centres)[0])
        np.testing.assert_allclose(shares[:, number], weights.mean((1, 2)), atol=1e-5)


def test_texture_is_the_features_of_every_band():
    images = noise(0)
    cells = DESCRIPTORS["texture"](SEVERAL).describe(images).reshape(BATCH, 3, 2, 16)
    for number, band in enumerate(pyramid(images, 3)):
        found = glcm_features(band[..., 0], SEVERAL.texture.glcm, SEVERAL.texture.features)
        np.testing.assert_allclose(cells[:, number, 0], np.log(found["contrast"]), atol=1e-2)
        # It has a sign, so a logarithm it has not.
        np.testing.assert_allclose(cells[:, number, 1], found["correlation"], atol=1e-5)


def test_the_sums_are_decaying_means_of_descriptions():
    random = np.random.default_rng(0)
    source, *translations = (jnp.asarray(random.normal(size=(4, 32, 32, 1))) for _ in range(3))
    domains = np.array([0, 1, 0, 1]), np.array([1, 1, 0, 0])
    describe = TABLE["spectrum"].describe
    mean, variance = jnp.asarray(random.uniform(1, 2, (2, 2, BANDS)))
    memory = Memory.start(mean, variance)
    for translation in translations:
        memory = added(memory, describe(source), describe(translation), *domains)
    a, d, e = (np.asarray(describe(images)) for images in (source, *translations))
    counts = np.array([[1, 1], [1, 1]]) * (1 + 0.8)
    np.testing.assert_allclose(memory.change_count, counts, rtol=1e-5)
    change = 0.8 * (d - a)[0] + (e - a)[0]
    np.testing.assert_allclose(memory.change[0, 1], change, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(memory.change_noise[0, 1], (e - d)[0] ** 2, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(memory.wanted[0, 1], mean[1] - mean[0])
    np.testing.assert_allclose(memory.anatomy[0, 1], variance[0] + variance[1])


def test_several_descriptions_are_summed_as_each_alone():
    names, domains = ("spectrum", "histogram"), (np.array([0, 1, 1, 0]), np.array([1, 1, 0, 1]))
    before, after = (
        {name: TABLE[name].describe(noise(seed, count=4)) for name in names} for seed in (0, 1)
    )
    known = {name: added(domains_of(name), before[name], after[name], *domains) for name in names}
    found = remember(known, before, after, *domains)
    for name in names:
        alone = added(known[name], before[name], after[name], *domains)
        for one, other in zip(jax.tree.leaves(found[name]), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_variance_is_that_of_the_change_whatever_the_images():
    """A gain changes the power of every image alike, and noise that is added does not."""
    alike = history("spectrum", lambda images: 0.5 * images).change_noise[0, 1]
    mixed = history("spectrum", lambda images: images[::-1]).change_noise[0, 1]
    assert alike.max() < 1e-6
    assert mixed.min() > 1e-3


def test_the_loss_is_the_aggregate_of_half_the_squared_gaps():
    memory = history("spectrum", lambda images: 1.2 * smooth(images))
    gap = memory.change[0, 1] / memory.change_count[0, 1] - (memory.mean[1] - memory.mean[0])
    found, root = loss("spectrum", smooth(noise(99)), memory)
    assert float(found) == pytest.approx(float((gap**2 / 2).mean()), rel=1e-4)
    assert float(root) == pytest.approx(float(jnp.sqrt((gap**2).mean())), rel=1e-4)


def test_cells_that_show_anatomy_count_less_between_scanners():
    """Here the patients of the second domain differ from each other in one half of the bands."""
    memory = history("spectrum", smooth)
    half = BANDS // 2
    spread = memory.variance_of_real.at[:, half:].add(10)
    memory = dataclasses.replace(memory, variance_of_real=spread)
    described = TABLE["spectrum"].describe(smooth(noise(99)))
    seen = {}
    for name, same in (("one scanner", SAME), ("two", jnp.eye(2))):
        kept = []

        def aggregate(gaps, kept=kept):
            kept.append(noise_weights(gaps)[0])
            return gaps.cells.mean(1)

        first, second = jnp.zeros(BATCH, int), jnp.ones(BATCH, int)
        change_loss(described, first, second, memory, TABLE["spectrum"], aggregate, same)
        seen[name] = float(kept[0][half:].sum())
    assert seen["two"] < 0.05 < seen["one scanner"]


def test_weights_add_up_to_one_and_follow_their_formulas():
    random = np.random.default_rng(0)
    variance, difference = jnp.asarray(random.uniform(0.1, 1, (2, 3, 8)))
    gaps = Gaps(jnp.asarray(random.uniform(0, 1, (3, 8))), variance, difference)
    noisy = np.asarray(noise_weights(gaps))
    inverse = 1 / (np.asarray(variance) + 1e-2)
    np.testing.assert_allclose(noisy, inverse / inverse.sum(1, keepdims=True), rtol=1e-5)
    separating = np.asarray(separation_weights(gaps))
    ratio = (np.asarray(difference) ** 2 + 1e-2) / (np.asarray(variance) + 1e-2)
    np.testing.assert_allclose(separating, ratio / ratio.sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(AGGREGATIONS["max"](gaps), gaps.cells.max(1))
    np.testing.assert_allclose(AGGREGATIONS["noise"](gaps), (gaps.cells * noisy).sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "least"), [("texture", 5), ("spectrum", 5), ("histogram", 3), ("activity", 3)]
)
def test_the_right_translation_closes_the_gaps_and_others_do_not(name, least):
    right, none = history(name, smooth), history(name, lambda images: images)
    closed, open_ = (float(loss(name, smooth(noise(99)), each)[1]) for each in (right, none))
    assert open_ > least * closed


@pytest.mark.parametrize("name", [pytest.param("texture", marks=pytest.mark.slow), "spectrum"])
def test_too_much_is_pulled_down_and_too_little_up(name):
    start = domains_of(name)

    @jax.jit
    def slopes(scale):
        """Of each aggregate by a factor on translations that are ``scale`` times too strong."""
        memory = history_of(name, lambda images: scale * smooth(images), 5, start)

        def of_factor(factor):
            cells = TABLE[name].describe(factor * scale * smooth(noise(99)))
            ways = ("mean", "max", "noise", "separation")
            return {way: loss_of_cells(name, cells, memory, aggregation=way)[0] for way in ways}

        return jax.jacrev(of_factor)(1.0)

    assert all(slope > 0.1 for slope in slopes(1.5).values())
    assert all(slope < -0.1 for slope in slopes(0.6).values())


def in_range(hu):
    low, high = WINDOW
    return (jnp.asarray(hu, jnp.float32) - low) * (2 / (high - low)) - 1


def chest(shift=0.0):
    """Two images of lung, fat and soft tissue, the second with more soft tissue and some bone."""
    stripes = np.repeat([-850.0, -100.0, 45.0, 45.0], SIDE // 4)
    others = np.repeat(
        [45.0, -100.0, 45.0, 285.0], [SIDE // 4, SIDE // 8, SIDE // 4, SIDE * 3 // 8]
    )
    hu = np.stack([np.tile(row, (SIDE, 1)) for row in (stripes, others)])
    return in_range(hu + shift)[..., None]


def test_a_shift_moves_the_levels_of_the_tissues_that_an_image_has():
    describe = TABLE["levels"].describe
    before, after = (np.asarray(describe(chest(shift))) for shift in (0.0, 5.0))
    air, soft, bone = ((after - before) / 0.5).T
    assert ((soft > 0.25) & (soft < 1)).all()
    assert 0.25 < bone[1] < 1
    # Nothing is said of a tissue that is not there.
    assert abs(bone[0]) < 1e-3
    assert np.abs(air).max() < 1e-3


def test_levels_do_not_depend_on_how_much_there_is_of_a_tissue():
    less, more = np.asarray(TABLE["levels"].describe(chest()))[:, 1]
    # 2 HU, for what is mixed at the borders.
    assert abs(more - less) < 0.2


@pytest.mark.parametrize(("level", "number"), [(-992.5, 0), (45.0, 1), (285.0, 2)])
def test_the_level_of_a_tissue_is_read_off(level, number):
    image = in_range(np.full((1, SIDE, SIDE, 1), level + 3))
    found = np.asarray(TABLE["levels"].describe(image))[0]
    # The share of tissue, 1, is damped by the least share.
    assert found[number] == pytest.approx(0.3 / 1.005, abs=1e-3)


def test_levels_are_pulled_back_between_scanners():
    describe = TABLE["levels"].describe
    cells = describe(chest())
    memory = Memory.start(jnp.stack([cells.mean(0)] * 2), jnp.zeros((2, cells.shape[1])))
    domains = jnp.zeros(2, int), jnp.ones(2, int)
    memory = added(memory, cells, describe(chest(5.0)), *domains)

    def of_shift(shift):
        return loss("levels", chest(5.0 + shift), memory, jnp.eye(2))[0]

    assert float(jax.grad(of_shift)(0.0)) > 0


def test_a_shift_is_pulled_back_between_kernels_of_one_scanner_only():
    memory = history("histogram", lambda images: smooth(images) + 0.05)

    def of_shift(shift, same):
        return loss("histogram", smooth(noise(99)) + 0.05 + shift, memory, same)[0]

    assert float(jax.grad(of_shift)(0.0, SAME)) > 0.1
    assert float(jax.grad(of_shift)(0.0, jnp.eye(2))) == 0


def test_the_sums_are_constants_of_the_gradient():
    memory = history("spectrum", smooth, steps=2)

    def of_memory(memory):
        return loss("spectrum", smooth(noise(99)), memory, aggregation="noise")[0]

    gradient = jax.grad(of_memory)(memory)
    assert not any(np.any(g) for g in jax.tree.leaves(dataclasses.asdict(gradient)))


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_a_batch_on_eight_devices_needs_sums_alone(name):
    batch = {
        "source": np.asarray(noise(0)),
        "translation": np.asarray(noise(1)),
        "first": np.arange(BATCH) % 2,
        "second": np.arange(BATCH) // 2 % 2,
    }

    def step(batch, memory):
        domains = batch["first"], batch["second"]
        describe = TABLE[name].describe
        cells = describe(batch["source"]), describe(batch["translation"])
        memory = added(memory, *cells, *domains)

        def total(images):
            chosen = AGGREGATIONS["noise"]
            return change_loss(describe(images), *domains, memory, TABLE[name], chosen, SAME)[0]

        return memory, jax.grad(total)(batch["translation"])

    start = Memory.empty(2, TABLE[name].cells)
    placed = to_global(make_mesh(), batch)
    compiled = jax.jit(step).lower(placed, start).compile()
    text = compiled.as_text()
    assert "all-reduce" in text
    assert "all-gather" not in text
    assert "all-to-all" not in text
    for one, many in zip(
        jax.tree.leaves(jax.jit(step)(batch, start)),
        jax.tree.leaves(compiled(placed, start)),
        strict=True,
    ):
        np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-6)


def test_cells_of_rounding_alone_have_no_weight():
    """Noise of a soft kernel that falls below the rounding, whose variance is 1/12 HU²."""
    unit = 2 / (WINDOW[1] - WINDOW[0])
    power = unit**2 / 12 * np.array([1e4, 4.0, 1.0, 0.5])
    mean = jnp.log(power)[None].repeat(2, 0)
    memory = Memory.start(mean, jnp.zeros_like(mean))
    variance = memory.variance(SAME, TABLE["spectrum"])[0, 1]
    np.testing.assert_allclose(variance[:2], np.log1p([-1e-4, -0.25]) ** 2, rtol=1e-3, atol=1e-7)
    weights = noise_weights(Gaps(jnp.zeros((1, 4)), variance[None], jnp.zeros((1, 4))))[0]
    assert weights[0] > 0.5
    assert weights[2:].max() < 0.001 * weights[0]
    assert not np.any(memory.variance(SAME, TABLE["texture"]))
