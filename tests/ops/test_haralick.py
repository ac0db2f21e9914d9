"""Haralick features against the IBSI digital phantom and scikit-image."""

import jax.numpy as jnp
import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from jaxharmo.ops.glcm import GlcmConfig, glcm_matrices
from jaxharmo.ops.haralick import MATRIX_FEATURES

# The digital phantom of IBSI (CC BY 4.0), z by y by x; 0 lies outside the region of interest.
IBSI = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)

# Reference values, 2D averaged, distance 1 (IBSI reference manual), to their printed digits.
REFERENCE = {
    "maximum_probability": 0.519,
    "joint_average": 2.14,
    "sum_squares": 2.69,
    "joint_entropy": 2.05,
    "difference_average": 1.42,
    "difference_variance": 2.90,
    "difference_entropy": 1.40,
    "sum_average": 4.28,
    "cluster_tendency": 5.47,
    "sum_entropy": 1.60,
    "joint_energy": 0.368,
    "contrast": 5.28,
    "id": 0.678,
    "idn": 0.851,
    "idm": 0.619,
    "idmn": 0.899,
    "inverse_variance": 0.0567,
    "correlation": -0.0121,
    "autocorrelation": 5.09,
    "cluster_shade": 7.00,
    "cluster_prominence": 79.1,
    "imc1": -0.155,
    "imc2": 0.487,
}


@pytest.fixture(scope="module")
def ibsi_matrices():
    offsets = ((0, 1), (-1, 1), (-1, 0), (-1, -1))
    config = GlcmConfig(levels=6, value_range=(1.0, 6.0), offsets=offsets)
    images = jnp.asarray(IBSI, jnp.float32)
    return glcm_matrices(images, config, images > 0).reshape(-1, 6, 6)


@pytest.mark.parametrize("name", REFERENCE)
def test_ibsi_digital_phantom(ibsi_matrices, name):
    values = [float(MATRIX_FEATURES[name](matrix)) for matrix in ibsi_matrices]
    expected = REFERENCE[name]
    digits = 3 if abs(expected) < 1 else 2
    if abs(expected) < 0.1:
        digits = 4
    if abs(expected) >= 10:
        digits = 1
    assert round(float(np.mean(values)), digits) == pytest.approx(expected, abs=10**-digits / 2)


def test_maximal_correlation_is_the_second_eigenvalue(ibsi_matrices):
    for matrix in np.asarray(ibsi_matrices, np.float64):
        p = matrix.sum(0)
        used = p > 0
        q = (matrix[:, used] / p[used]) @ matrix.T[used] / np.where(used, p, 1)[:, None]
        eigenvalues = np.sort(np.linalg.eigvals(q[np.ix_(used, used)]).real)
        expected = np.sqrt(max(eigenvalues[-2], 0))
        assert float(MATRIX_FEATURES["mcc"](jnp.asarray(matrix, jnp.float32))) == pytest.approx(
            expected, abs=1e-4
        )


def test_scikit_image_props():
    image = np.random.default_rng(0).integers(0, 12, (50, 50)).astype(np.uint8)
    counts = graycomatrix(image, [1], [0], 12, symmetric=True, normed=True)
    matrix = jnp.asarray(counts[:, :, 0, 0], jnp.float32)
    for ours, theirs in {
        "contrast": "contrast",
        "difference_average": "dissimilarity",
        "idm": "homogeneity",
        "joint_energy": "ASM",
        "correlation": "correlation",
        "joint_entropy": "entropy",
    }.items():
        expected = graycoprops(counts, theirs)[0, 0]
        if theirs == "entropy":
            expected /= np.log(2)
        assert float(MATRIX_FEATURES[ours](matrix)) == pytest.approx(expected, rel=1e-5)
