import numpy as np
import pytest
from scipy import stats

from jaxharmo.evaluation.statistics import compare


def test_equals_scipy_feature_by_feature():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(12, 5)), random.normal(0.8, 2, size=(9, 5))
    found = compare(a, b)
    p = [stats.ttest_ind(a[:, i], b[:, i], equal_var=False).pvalue for i in range(5)]
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.q, stats.false_discovery_control(p))


def test_hedges_g_by_hand():
    a, b = np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])
    # Pooled SD sqrt(2), 2 degrees of freedom: the correction is 1 - 3/7.
    assert compare(a, b).hedges_g == pytest.approx(-4 / np.sqrt(2) * 4 / 7)


def test_constant_features():
    rows = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [1.0, 1.0, 3.0]])
    other = rows + np.array([0, 5, 0])
    found = compare(rows, other)
    assert found.p.tolist() == [1, 0, 1]
    assert found.hedges_g[[0, 2]].tolist() == [0, 0]
    assert np.isnan(found.hedges_g[1])
    assert found.significant == 1
    assert found.median_effect == 0


def test_a_feature_constant_in_one_group():
    found = compare(np.full((4, 1), 3.0), np.array([[1.0], [2.0], [3.0]]))
    assert 0 < found.p[0] < 1
    assert found.hedges_g[0] > 0


def test_missing_values_and_too_few_rows():
    rows = np.array([[1.0, np.nan], [2.0, 1.0], [4.0, 2.0]])
    found = compare(rows, rows)
    assert found.p[0] == 1
    assert np.isnan(found.p[1])
    assert np.isnan(found.q[1])
    single = compare(rows[:1], rows)
    assert np.isnan(single.p).all()
    assert np.isnan(single.significant)
    assert np.isnan(single.median_effect)
