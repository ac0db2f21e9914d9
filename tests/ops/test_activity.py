"""Bands of detail and the activity around each pixel."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxharmo.ops.activity import ACTIVE_BANDS, active_bands
from jaxharmo.ops.blur import binomial_blur


def test_the_bands_and_what_is_left_are_the_image():
    image = 0.1 * jax.random.normal(jax.random.key(0), (2, 40, 33, 1))
    left = image
    for dilation in (1, 2, 4):
        left = binomial_blur(left, dilation)
    bands = active_bands(image)
    assert len(bands) == ACTIVE_BANDS
    np.testing.assert_allclose(sum(band.detail for band in bands) + left, image, atol=1e-6)


def test_twice_the_detail_is_an_octave():
    image = 0.1 * jax.random.normal(jax.random.key(0), (1, 64, 64, 1))
    for once, twice in zip(active_bands(image), active_bands(2 * image), strict=True):
        np.testing.assert_allclose(twice.activity - once.activity, 1, atol=0.1)


def test_an_edge_has_more_activity_than_noise():
    noise = 0.01 * jax.random.normal(jax.random.key(0), (1, 64, 64, 1))
    edge = jnp.where(jnp.arange(64)[:, None] < 32, -0.5, 0.5)[None, :, :, None]
    for band in active_bands(noise + edge):
        activity = np.asarray(band.activity)[0]
        assert activity[30:34].mean() > activity[:16].mean() + 2


def test_a_plane_without_detail_is_finite_with_its_gradient():
    image = jnp.full((1, 16, 16, 1), 0.3)
    total = lambda x: sum(band.activity.sum() for band in active_bands(x))  # noqa: E731
    assert np.isfinite(jax.grad(total)(image)).all()
