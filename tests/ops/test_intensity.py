import jax
import jax.numpy as jnp
import numpy as np

from jaxharmo.ops.intensity import denormalize, in_whole_hu, normalize

WINDOW = (-1024.0, 400.0)


def test_window_ends_are_the_ends_of_the_range():
    hu = jnp.array([-2000, -1024, -312, 400, 3000], jnp.int16)
    np.testing.assert_allclose(normalize(hu, WINDOW), [-1, -1, 0, 1, 1], atol=1e-6)


def test_denormalize_undoes_normalize():
    hu = jnp.linspace(-1024, 400, 57)
    np.testing.assert_allclose(denormalize(normalize(hu, WINDOW), WINDOW), hu, atol=1e-3)


def test_whole_hu_are_those_of_a_stored_image():
    hu = jnp.linspace(-1024, 400, 1001)
    stored = in_whole_hu(normalize(hu, WINDOW), WINDOW)
    np.testing.assert_allclose(denormalize(stored, WINDOW), np.rint(hu), atol=1e-3)
    slopes = jax.grad(lambda image: (in_whole_hu(image, WINDOW) * hu).sum())(normalize(hu, WINDOW))
    np.testing.assert_array_equal(slopes, hu)
