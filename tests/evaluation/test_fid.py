import numpy as np
import pytest
from scipy.linalg import sqrtm

from jaxharmo.evaluation.fid import frechet_distance


def textbook(a, b):
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    means = np.sum((a.mean(0) - b.mean(0)) ** 2)
    return means + np.trace(first + second - 2 * sqrtm(first @ second).real)


@pytest.mark.parametrize(("n", "m"), [(60, 80), (400, 90)])
def test_equals_the_matrix_root_where_that_is_stable(n, m):
    random = np.random.default_rng(0)
    a = random.normal(size=(n, 12))
    b = random.normal(size=(m, 12)) @ random.normal(size=(12, 12)) + 1
    assert frechet_distance(a, b) == pytest.approx(textbook(a, b), rel=1e-6)


def test_knows_the_distance_of_shifted_and_scaled_sets():
    a = np.random.default_rng(1).normal(size=(9, 200))
    spread = np.trace(np.cov(a, rowvar=False))
    assert frechet_distance(a, a + 2) == pytest.approx(4 * 200)
    centred = a - a.mean(0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * spread)


@pytest.mark.parametrize("n", [2, 3])
def test_tiny_sets_give_finite_distances(n):
    a = np.random.default_rng(2).normal(size=(n, 1280)).astype(np.float32)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(frechet_distance(a, np.ones_like(a)))


def test_refuses_what_has_no_distance():
    rows = np.ones((3, 4))
    with pytest.raises(ValueError, match="2 rows"):
        frechet_distance(rows[:1], rows)
    with pytest.raises(ValueError, match="shapes"):
        frechet_distance(rows, rows[:, :2])
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(rows * np.nan, rows)
