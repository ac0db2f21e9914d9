"""Soft assignment against the literal formula in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from literal import CASES, literal_weights, name_of

from jaxharmo.ops.binning import weights


@pytest.mark.parametrize("binning", CASES, ids=name_of)
def test_weights_are_the_formula(binning):
    image = np.random.default_rng(0).uniform(-1, 1, (9, 11))
    found = weights(jnp.asarray(image, jnp.float32), binning)
    np.testing.assert_allclose(found, literal_weights(image, binning), atol=2e-5)


@pytest.mark.parametrize("binning", CASES, ids=name_of)
def test_values_beyond_the_range_count_as_its_ends(binning):
    found = weights(jnp.array([[-9.0, 1.06, jnp.inf]]), binning)
    ends = weights(jnp.array([[-1.0, 1.0, 1.0]]), binning)
    np.testing.assert_array_equal(found, ends)
