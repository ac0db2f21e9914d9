"""Slices on a coarser grid, against waves sampled there."""

import numpy as np
import pytest

from jaxharmo.data.coarsening import coarsened
from jaxharmo.data.records import Slice, SliceHeader


def item(hu, spacing=(0.5, 0.5)):
    header = SliceHeader(
        domain=0,
        patient="p",
        series="s",
        acquisition="a",
        position=0.0,
        spacing=spacing,
        body=(8, 16, 24, 32),
    )
    return Slice(header, np.rint(hu).astype(np.int16))


def wave(count, length, pixel):
    """Half-sample symmetric, as the cosine transform has it; ``length`` in mm."""
    place = (np.arange(count) + 0.5) * pixel
    return 100 * np.cos(2 * np.pi * place / length)


def test_a_wave_that_the_coarser_grid_holds_is_sampled_there():
    fine = wave(120, 12.0, 0.5)[:, None] + wave(160, 8.0, 0.5)
    coarse = wave(75, 12.0, 0.8)[:, None] + wave(100, 8.0, 0.8)
    found = coarsened(item(fine), 0.8)
    np.testing.assert_allclose(found.pixels, coarse, atol=1.5)
    assert found.header.spacing == pytest.approx((0.8, 0.8))
    assert found.header.body == (5, 10, 15, 20)


def test_a_wave_that_it_does_not_hold_is_gone():
    fine = np.repeat(wave(120, 1.2, 0.5)[:, None], 160, axis=1)
    assert np.abs(coarsened(item(fine), 0.8).pixels).max() <= 1


def test_white_noise_keeps_its_power_per_frequency():
    noise = np.random.default_rng(0).normal(0, 20, (400, 400))
    found = coarsened(item(noise), 0.8).pixels
    assert found.shape == (250, 250)
    assert found.std() == pytest.approx(20 * 0.5 / 0.8, rel=0.02)


@pytest.mark.parametrize("pixel", [0.0, 0.3, 0.5, 0.503])
def test_pixels_as_coarse_or_coarser_stay_as_they_are(pixel):
    slice_ = item(np.ones((40, 40)))
    assert coarsened(slice_, pixel) is slice_


def test_axes_have_their_own_pixels():
    assert coarsened(item(np.ones((30, 40)), (1.0, 0.5)), 1.0).pixels.shape == (30, 20)
