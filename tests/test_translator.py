import dataclasses

import jax
import numpy as np
import pytest
from random_weights import random_weights
from small import SMALL, STEERED, replace

from jaxharmo.config import FilterGenerator
from jaxharmo.data.crops import body_crops
from jaxharmo.errors import InputError
from jaxharmo.models.networks import build
from jaxharmo.ops.intensity import CT_FLOOR, HANDOVER, hand_over, normalize
from jaxharmo.translator import Translator


def make(**model):
    config = replace(SMALL, model=model, eval={"batch_size": 2})
    return Translator(config, random_weights(config), 7)


@pytest.fixture(scope="module")
def translator():
    return make()


@pytest.fixture(scope="module")
def hu():
    slices = np.random.default_rng(0).integers(-1024, 400, (5, 33, 41)).astype(np.float32)
    slices[0, 0, :3] = (-3024, -1025, 900)
    return slices


def test_any_size_and_number_of_slices(translator, hu):
    whole = translator(hu, "B")
    assert whole.shape == hu.shape
    assert whole.dtype == np.float32
    np.testing.assert_allclose(translator(hu[4:], "B")[0], whole[4], atol=0.05)
    assert translator(hu[:0], "B").shape == (0, 33, 41)


def test_a_generator_that_changes_nothing_keeps_every_value(hu):
    config = replace(SMALL, model=STEERED)
    weights = random_weights(config, last=0)
    np.testing.assert_allclose(Translator(config, weights, 0)(hu, "A", of="B"), hu, atol=1e-3)


def test_what_lies_outside_the_window_is_untouched(translator, hu):
    translated = translator(hu, "C")
    np.testing.assert_array_equal(translated[0, 0, :3], hu[0, 0, :3])
    assert np.abs(translated - hu).max() > 100
    assert np.delete(translated.ravel(), [0, 1, 2]).min() >= CT_FLOOR


def test_a_model_in_mm_sees_the_size_of_pixels(hu):
    generator = FilterGenerator(knots=2, residual_width=0, in_mm=True, pixel=0.5)
    config = replace(SMALL, model=STEERED | {"generator": generator})
    per_pixel = replace(config, model={"generator": dataclasses.replace(generator, in_mm=False)})
    model, other = (Translator(c, random_weights(c), 0) for c in (config, per_pixel))
    fine, coarse = (model(hu, "B", "A", pixel) for pixel in (0.5, 0.9))
    np.testing.assert_allclose(fine, other(hu, "B", "A"), atol=1e-3)
    assert np.abs(coarse - fine).max() > 1
    with pytest.raises(InputError, match="size of the slices' pixels"):
        model(hu, "B", "A")
    for bad in (0.0, float("nan"), 100.0):
        with pytest.raises(InputError, match=r"must be 0\.01 to 20"):
            model(hu, "B", "A", bad)


def far(x):
    """Stands for a translation that is everywhere far above the source."""
    return np.full_like(x, 500)


@pytest.mark.parametrize("window", [(-1024.0, 400.0), (-900.0, 300.0)])
def test_the_hand_over_is_smooth(window):
    ramp = np.arange(-1100, 500, dtype=np.float32)[None, None]
    low, high = window
    change = np.asarray(hand_over(ramp, far(ramp), window) - ramp)[0, 0]
    outside = (ramp[0, 0] < low) | (ramp[0, 0] > high)
    np.testing.assert_array_equal(change[outside], 0)
    whole = (ramp[0, 0] > low + HANDOVER) & (ramp[0, 0] < high - HANDOVER)
    np.testing.assert_array_equal(change[whole], (far(ramp) - ramp)[0, 0, whole])
    # Steps of the change from one HU to the next; the floor of the CT scale is the only jump.
    steps = np.abs(np.diff(change))
    floor = ramp[0, 0, 1:] == CT_FLOOR
    limit = 1.5 / HANDOVER * (500 - low)
    assert steps[~floor].max() < limit
    assert (steps[floor] > limit).all() == (low == CT_FLOOR)


def test_styles_are_values(translator, hu):
    mean, drawn = translator.mean_style("B"), translator.latent_style("B", 1)
    assert mean.shape == drawn.shape == translator.reference_style(hu, of="A").shape == (6,)
    np.testing.assert_array_equal(drawn, translator.latent_style("B", 1))
    many = np.stack([translator.latent_style("B", seed) for seed in range(200)])
    spread = many.std(0) / np.sqrt(len(many))
    assert (np.abs(many.mean(0) - mean) < 6 * spread).all()
    assert np.abs(many[0] - many[1]).max() > 1e-4
    np.testing.assert_array_equal(
        translator(hu, "B"), translator.translate(hu, translator.steering(mean, None))
    )
    other = translator.translate(hu, translator.steering(many[0], None))
    assert np.abs(other - translator(hu, "A")).max() > 1


def test_a_model_steered_by_differences_starts_from_the_source(hu):
    translator = make(**STEERED)
    np.testing.assert_allclose(translator(hu, "B", of="B"), hu, atol=1e-3)
    forth, back = translator(hu, "B", of="A"), translator(hu, "A", of="B")
    assert np.abs(forth - hu).max() > 1
    assert np.abs(back - forth).max() > 1
    np.testing.assert_array_equal(translator.reference_style(hu, "B"), translator.mean_style("B"))
    with pytest.raises(InputError, match="the source's domain"):
        translator(hu, "B")
    with pytest.raises(InputError, match="no domain 'X'"):
        translator(hu, "B", of="X")


def test_a_reference_style_is_the_mean_over_its_crops(translator, hu):
    networks, config = build(translator.config), translator.config
    crops = body_crops(hu, config.data.crop, config.data.window[0])
    assert crops.shape[1:] == (32, 32)
    images = normalize(crops, config.data.window)[..., None]
    domains = np.full(len(crops), 1)
    styles = jax.jit(networks.encoded_style)(translator.params, images, domains)
    np.testing.assert_allclose(
        translator.reference_style(hu, of="B"), np.mean(styles, 0), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(InputError, match="at least one slice"):
        translator.reference_style(hu[:0], of="B")


def test_one_compilation_a_size(translator, hu):
    for count in (5, 1, 2, 3):
        translator(hu[:count], "A")
    assert translator._translate._cache_size() == 1


def test_bfloat16_is_near(hu):
    weights = random_weights(SMALL)
    exact, rough = (
        Translator(SMALL, weights, 7, precision=name)(hu, "A") for name in ("float32", "bfloat16")
    )
    change = np.abs(exact - hu)[:, 2:]
    assert change.mean() > 5
    assert 0 < np.abs(exact - rough).mean() < 0.02 * change.mean()


def test_targets_differ(translator, hu):
    assert np.abs(translator(hu, "A") - translator(hu, "B")).max() > 1


def test_unknown_target_lists_the_domains(translator, hu):
    with pytest.raises(InputError, match="A, B, C"):
        translator(hu, "D")


def test_digest_tells_weights_apart(translator):
    assert translator.digest == make().digest
    assert translator.digest != make(width=8).digest
