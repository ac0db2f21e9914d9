import numpy as np
import pytest
from chest import chest
from scipy import ndimage

from jaxharmo.evaluation import texture
from jaxharmo.evaluation.texture import FREQUENCIES, PATCH
from jaxharmo.ops.glcm import OFFSETS
from jaxharmo.ops.tissue import segment

WINDOW = (-1024.0, 400.0)
SPACING = (0.7, 0.7)


def noise(side, seed=0, sigma=20.0):
    return sigma * np.random.default_rng(seed).normal(size=(side, side))


def corners(side):
    return [
        (r, c) for r in range(0, side - PATCH + 1, PATCH) for c in range(0, side - PATCH + 1, PATCH)
    ]


def test_white_noise_has_variance_times_pixel_area():
    hu = 50 + noise(400) + 0.3 * np.arange(400)
    found = texture.noise_power(hu, corners(400), SPACING)
    assert found.count == 400
    resolved = FREQUENCIES + 0.25 < 10 / (2 * 0.7)
    # The plane takes low frequencies with it; rings above them hold the power of the pixels.
    middle = resolved & (FREQUENCIES > 1.5)
    np.testing.assert_allclose(found.power[middle], 400 * 0.7**2, rtol=0.05)
    assert np.isnan(found.power[FREQUENCIES - 0.25 > 10 / (2 * 0.7)]).all()


def test_filtered_noise_has_the_filters_power():
    sharp = noise(500, 1)
    soft = ndimage.gaussian_filter(sharp, 1.0, mode="wrap")
    ratio = (
        texture.noise_power(soft, corners(500), SPACING).power
        / texture.noise_power(sharp, corners(500), SPACING).power
    )
    # A Gaussian of 1 pixel: exp(-(2π f s)²), f in cycles a pixel.
    expected = np.exp(-((2 * np.pi * FREQUENCIES * 0.07) ** 2))
    band = (FREQUENCIES > 1.5) & (FREQUENCIES < 3.5)
    np.testing.assert_allclose(ratio[band], expected[band], rtol=0.15)
    whole = texture.radial_power(soft, SPACING).power / texture.radial_power(sharp, SPACING).power
    np.testing.assert_allclose(whole[band], expected[band], rtol=0.15)


def test_whole_slice_power_integrates_to_the_variance():
    hu = noise(256)
    power = texture.radial_power(hu, (1.0, 1.0)).power
    assert np.nanmean(power) == pytest.approx(400, rel=0.05)


@pytest.mark.parametrize("shape", [(96, 120), (95, 121)])
def test_power_of_a_slice_is_the_mean_over_rings_of_its_whole_transform(shape):
    hu, spacing = np.random.default_rng(5).normal(-500, 90, shape), (0.7, 0.9)
    hann = np.outer(np.hanning(shape[0]), np.hanning(shape[1]))
    centred = (hu - np.average(hu, weights=hann)) * hann
    power = np.abs(np.fft.fft2(centred)) ** 2 * 0.7 * 0.9 / np.sum(hann**2)
    rows, columns = (
        np.fft.fftfreq(side, step / 10) for side, step in zip(shape, spacing, strict=True)
    )
    frequency = np.hypot(rows[:, None], columns)
    found = texture.radial_power(hu, spacing).power
    for middle, value in zip(FREQUENCIES, found, strict=True):
        ring = (np.abs(frequency - middle) < 0.25) & (frequency > 0) & (frequency <= 10 / 1.8)
        expected = power[ring].mean() if ring.any() else np.nan
        assert value == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_spectral_distance_in_decibel():
    spectrum = texture.noise_power(noise(200), corners(200), SPACING)
    louder = spectrum._replace(power=spectrum.power * 10)
    assert texture.log_spectral_distance(spectrum, spectrum) == 0
    assert texture.log_spectral_distance(spectrum, louder) == pytest.approx(10)
    nothing = texture.noise_power(noise(50), [], SPACING)
    assert np.isnan(texture.log_spectral_distance(spectrum, nothing))


def test_uniform_patches_avoid_edges_and_vessels():
    hu = np.full((60, 100), 40.0) + noise(100, 2, 15)[:60]
    mask = np.ones(hu.shape, bool)
    mask[:, 90:] = False
    hu[20:24, 40:44] = -800
    found = texture.uniform_patches(hu, mask)
    assert found
    assert (0, 0) in found
    for r, c in found:
        assert mask[r : r + PATCH, c : c + PATCH].all()
        assert hu[r : r + PATCH, c : c + PATCH].min() > -100
    assert len(found) > 10
    assert texture.uniform_patches(hu[:10], mask[:10]) == []
    assert texture.uniform_patches(hu, ~mask & mask) == []


def test_noise_of_a_chest_is_measured_in_soft_tissue():
    hu, _ = chest(320, 20)
    patches = texture.uniform_patches(hu, segment(hu).soft)
    assert len(patches) > 20
    power = texture.noise_power(hu, patches, (1.0, 1.0)).power
    assert np.nanmean(power[FREQUENCIES > 1]) == pytest.approx(400, rel=0.1)


def test_grids_within_masks_and_their_gap():
    hu = np.stack([noise(40, seed) - 300 for seed in range(3)])
    masks = np.ones(hu.shape, bool)
    masks[:, :, 30:] = False
    masks[2] = False
    grids = texture.glcm_grids(hu, masks, WINDOW)
    assert grids.shape == (3, len(OFFSETS))
    assert np.isnan(grids[2]).all()
    # Contrast of white noise: 2 σ² in squared bins at every offset.
    np.testing.assert_allclose(grids[:2], 2 * (20 / (1424 / 255)) ** 2, rtol=0.25)
    outside = np.where(masks, hu, 900)
    np.testing.assert_allclose(texture.glcm_grids(outside, masks, WINDOW)[:2], grids[:2], rtol=1e-4)
    assert texture.grid_gap(grids, grids) == 0
    assert texture.grid_gap(grids, 2 * grids) == pytest.approx(np.log(2))
    assert np.isnan(texture.grid_gap(grids[2:], grids))
