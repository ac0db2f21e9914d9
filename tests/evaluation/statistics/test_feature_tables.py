import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import effectsize_smd
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind

from jaxharmo.evaluation.statistics import compare, concordance, kruskal_wallis


def test_equals_scipy_feature_by_feature():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(12, 5)), random.normal(0.8, 2, size=(9, 5))
    found = compare(a, b)
    p = [stats.ttest_ind(a[:, i], b[:, i], equal_var=False).pvalue for i in range(5)]
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.q, multipletests(p, method="fdr_bh")[1])
    smirnov = [stats.ks_2samp(a[:, i], b[:, i]) for i in range(5)]
    np.testing.assert_allclose(found.ks, [test.statistic for test in smirnov])
    np.testing.assert_allclose(found.ks_p, [test.pvalue for test in smirnov])
    moved = [stats.wasserstein_distance(a[:, i], b[:, i]) for i in range(5)]
    np.testing.assert_allclose(found.wasserstein, moved / b.std(0, ddof=1))


def test_many_rows_keep_the_p_of_kolmogorov_and_smirnov():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(130, 3)), random.normal([0, 0.3, 0.6], size=(110, 3))
    exact = [stats.ks_2samp(a[:, i], b[:, i], method="exact").pvalue for i in range(3)]
    np.testing.assert_allclose(compare(a, b).ks_p, exact, rtol=0.15)


def test_effect_and_its_interval_equal_statsmodels():
    random = np.random.default_rng(2)
    a, b = random.normal(size=(14, 6)), random.normal(0.5, 1.5, size=(30, 6))
    found = compare(a, b)
    g, variance = effectsize_smd(a.mean(0), a.std(0, ddof=1), 14, b.mean(0), b.std(0, ddof=1), 30)
    np.testing.assert_allclose(found.hedges_g, g)
    np.testing.assert_allclose(found.g_low, g - 1.959963984540054 * np.sqrt(variance))
    np.testing.assert_allclose(found.g_high, g + 1.959963984540054 * np.sqrt(variance))


def test_equivalence_equals_statsmodels():
    random = np.random.default_rng(3)
    a, b = random.normal(size=(60, 4)), random.normal([0, 0.1, 0.5, 2], 1.5, size=(80, 4))
    found = compare(a, b, margin=0.4)
    for i in range(4):
        reach = 0.4 * b[:, i].std(ddof=1)
        p = ttost_ind(a[:, i], b[:, i], -reach, reach, usevar="unequal")[0]
        assert found.tost_p[i] == pytest.approx(p)
    assert found.tost_p[0] < 0.05 < found.tost_p[3]


def test_few_rows_look_aligned_but_not_equivalent():
    random = np.random.default_rng(4)
    a, b = random.normal(0.4, size=(8, 40)), random.normal(size=(8, 40))
    few, same = compare(a, b).aligned, compare(np.repeat(b, 20, 0), np.repeat(b, 20, 0)).aligned
    assert few["welch"] > 0.7
    assert few["equivalence"] < 0.2
    assert set(same.values()) == {1.0}


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
    assert found.ks.tolist() == [0, 1, 0]
    assert found.tost_p[:2].tolist() == [0, 1]
    assert found.wasserstein[[0, 2]].tolist() == [0, 0]
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
    assert np.isnan(list(single.aligned.values())).all()


def test_kruskal_wallis_equals_scipy_with_ties():
    random = np.random.default_rng(5)
    labels = np.repeat(["a", "b", "c"], [9, 12, 7])
    rows = random.normal(size=(28, 6)) + 0.7 * (labels == "b")[:, None]
    rows[:, 3:] = rows[:, 3:].round()
    found = kruskal_wallis(rows, labels)
    tests = [stats.kruskal(*(rows[labels == name, i] for name in "abc")) for i in range(6)]
    np.testing.assert_allclose(found.h, [test.statistic for test in tests])
    np.testing.assert_allclose(found.p, [test.pvalue for test in tests])
    np.testing.assert_allclose(found.q, multipletests(found.p, method="fdr_bh")[1])


def test_kruskal_wallis_of_features_without_an_answer():
    rows = np.array([[1.0, np.nan, 1.0], [1.0, 2.0, 2.0], [1.0, 3.0, 3.0], [1.0, 4.0, 4.0]])
    found = kruskal_wallis(rows, np.array([0, 0, 1, 1]))
    assert (found.h[0], found.p[0]) == (0, 1)
    assert np.isnan(found.q[1])
    # The ranks 1, 2 | 3, 4 differ as much as four rows can.
    assert found.h[2] == pytest.approx(2.4)
    assert found.epsilon_squared[2] == pytest.approx(0.8)
    with pytest.raises(ValueError, match="2 groups"):
        kruskal_wallis(rows, np.zeros(4))


def test_concordance_by_hand():
    a = np.array([[1.0, 1.0, 5.0, 1.0], [2.0, 2.0, 5.0, np.nan], [3.0, 3.0, 5.0, 1.0]])
    b = a + np.array([0, 1, 0, 0])
    # Equal variances 2/3 and a shift of 1: (2 2/3) / (4/3 + 1).
    np.testing.assert_allclose(concordance(a, b), [1, 4 / 7, np.nan, np.nan])
    np.testing.assert_allclose(concordance(a, 4 - a)[0], -1)
    assert np.isnan(concordance(a[:1], b[:1])).all()
    with pytest.raises(ValueError, match="shapes"):
        concordance(a, b[:2])
