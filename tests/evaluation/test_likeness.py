import math

import jax
import numpy as np
import pytest
from chest import chest
from scipy import ndimage
from skimage.metrics import structural_similarity

from jaxharmo.evaluation import likeness as measures

WINDOW = (-1024.0, 400.0)
SPAN = np.float64(WINDOW[1] - WINDOW[0])


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def test_mean_shift():
    hu, lungs = chest(64)
    assert measures.mean_shift(hu, hu + 12, lungs) == pytest.approx(12)
    assert math.isnan(measures.mean_shift(hu, hu, lungs & ~lungs))


def test_edge_preservation_of_contrast_and_blur():
    hu, _ = chest(96, 5)
    everywhere = np.ones(hu.shape, bool)
    assert measures.edge_preservation_index(hu, 2 * hu + 7, everywhere) == pytest.approx(1)
    blurred = ndimage.gaussian_filter(hu, 1)
    expected = np.corrcoef(ndimage.laplace(hu).ravel(), ndimage.laplace(blurred).ravel())[0, 1]
    found = measures.edge_preservation_index(hu, blurred, everywhere)
    assert found == pytest.approx(expected)
    assert found < 0.9
    assert math.isnan(measures.edge_preservation_index(hu, hu, ~everywhere))
    assert math.isnan(measures.edge_preservation_index(hu, 0 * hu, everywhere))


def test_similarity_is_that_of_scikit_image():
    seen = [np.clip(chest(160, noise)[0][:, :121], *WINDOW) for noise in (0, 40)]
    expected = structural_similarity(*seen, data_range=SPAN)
    assert measures.similarity(*seen, SPAN) == pytest.approx(expected, rel=1e-9)
    assert expected < 0.95


def test_all_measures_of_float32_slices_are_those_by_definition():
    hu, lungs = chest(96, 5)
    other, body = hu + np.where(lungs, 30, -4) + chest(96, 8)[0] - chest(96)[0], hu > -500
    hu, other = np.clip(hu, *WINDOW).astype(np.float32), other.astype(np.float32)
    difference = other.astype(np.float64) - hu
    air = ~(lungs | body)
    laplacians = (ndimage.laplace(each.astype(np.float64))[body] for each in (hu, other))
    alike = structural_similarity(hu.astype(float), other.astype(float), data_range=SPAN)
    expected = {
        "edge_preservation": np.corrcoef(*laplacians)[0, 1],
        "ssim": alike,
        "shift_hu_lung": difference[lungs].mean(),
        "shift_hu_soft_tissue": difference[body].mean(),
        "shift_hu_air": difference[air].mean(),
    }
    with jax.enable_x64(False):
        found = measures.likeness(hu, other, SPAN, body, lungs, body, air)
        errors = measures.errors(hu, other, SPAN, lungs)
    assert found == pytest.approx(expected, rel=1e-9)
    assert errors == pytest.approx(
        {
            "rmse_hu": np.sqrt(np.mean(difference**2)),
            "rmse_lung_hu": np.sqrt(np.mean(difference[lungs] ** 2)),
            "ssim_truth": alike,
        },
        rel=1e-9,
    )
    assert math.isnan(measures.errors(hu, other, SPAN, lungs & ~lungs)["rmse_lung_hu"])
