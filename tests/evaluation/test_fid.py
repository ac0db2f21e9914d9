import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import polynomial_kernel

from jaxharmo.evaluation.fid import (
    bias_note,
    frechet_distance,
    kernel_distance,
)


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


@pytest.mark.parametrize("n", [2, 5])
def test_tiny_sets_give_finite_distances(n):
    a, b = np.random.default_rng(2).normal(size=(2, n, 2048)).astype(np.float32)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    for other in (b, np.ones_like(a)):
        assert 0 <= frechet_distance(a, other) < np.inf


def unbiased_mmd(a, b):
    n, m, width = len(a), len(b), a.shape[1]
    aa, bb, ab = (
        polynomial_kernel(x, y, degree=3, gamma=1 / width, coef0=1)
        for x, y in ((a, a), (b, b), (a, b))
    )
    inside = (aa.sum() - np.trace(aa)) / n / (n - 1) + (bb.sum() - np.trace(bb)) / m / (m - 1)
    return inside - 2 * ab.mean()


def test_kernel_distance_equals_its_definition():
    random = np.random.default_rng(3)
    a, b = random.normal(size=(40, 30)), random.normal(0.4, size=(40, 30))
    mean, spread = kernel_distance(a, b, subsets=3)
    assert mean == pytest.approx(unbiased_mmd(a, b))
    assert spread == pytest.approx(0, abs=1e-9)
    mean, spread = kernel_distance(a, b, subset_size=20)
    assert mean == pytest.approx(unbiased_mmd(a, b), rel=0.3)
    assert spread > 0
    assert kernel_distance(a, b, subset_size=20) == (mean, spread)


@pytest.mark.parametrize("subsets", [4, 40])
def test_kernel_distance_of_subsets_of_sets_of_unequal_size(subsets):
    random = np.random.default_rng(7)
    a, b = random.normal(size=(30, 8)), random.normal(0.4, size=(50, 8))
    draws = np.random.default_rng(5)
    parts = [
        [rows[draws.choice(len(rows), 10, replace=False)] for rows in (a, b)]
        for _ in range(subsets)
    ]
    values = [unbiased_mmd(*some) for some in parts]
    found = kernel_distance(a, b, subsets=subsets, subset_size=10, seed=5)
    assert found == pytest.approx((np.mean(values), np.std(values)), rel=1e-9)


def test_kernel_distance_of_like_sets_is_about_zero():
    random = np.random.default_rng(0)
    values = [kernel_distance(*random.normal(size=(2, 20, 200)), subsets=1)[0] for _ in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)


def test_note_on_few_rows():
    assert bias_note(2049, 2048) is None
    assert "N = 50 " in str(bias_note(50, 2048))


def test_refuses_what_has_no_distance():
    rows = np.ones((3, 4))
    with pytest.raises(ValueError, match="2 rows"):
        frechet_distance(rows[:1], rows)
    with pytest.raises(ValueError, match="shapes"):
        frechet_distance(rows, rows[:, :2])
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(rows * np.nan, rows)
