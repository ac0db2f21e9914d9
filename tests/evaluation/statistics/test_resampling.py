import numpy as np
import pytest

from jaxharmo.evaluation.statistics import cluster_bootstrap, patient_means
from jaxharmo.evaluation.statistics.resampling import permuted_labels, units_of


def test_labels_move_with_their_unit_and_stay_in_their_stratum():
    labels = np.array(["s", "s", "h", "h", "s", "h"])
    groups = np.array([1, 1, 1, 1, 2, 3])
    units = units_of(labels, groups, np.array([0, 0, 0, 0, 1, 1]))
    assert len(units.label) == 4
    np.testing.assert_array_equal(units.names[units.label][units.of_row], labels)
    drawn = permuted_labels(units, 200, 0)
    for stratum in (0, 1):
        inside = units.stratum == stratum
        assert (np.sort(drawn[:, inside], 1) == np.sort(units.label[inside])).all()
        # Both orders come up about as often.
        first = drawn[:, np.flatnonzero(inside)[0]]
        assert 0.35 < np.mean(first == first[0]) < 0.65


def test_units_need_columns_of_one_length():
    with pytest.raises(ValueError, match="differ in number"):
        units_of(np.zeros(3), np.zeros(2), None)


def test_interval_covers_the_mean_of_patients():
    covered = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        patients = np.repeat(np.arange(25), 6)
        rows = random.normal(size=25)[patients] + 0.1 * random.normal(size=150)
        found = cluster_bootstrap(np.mean, [rows], [patients], resamples=100, seed=seed)
        assert found.estimate == rows.mean()
        covered.append(found.low <= 0 <= found.high)
    assert 0.88 < np.mean(covered) <= 1


def test_paired_samples_stay_paired():
    patients = np.repeat([3, 1, 2], 2)
    rows = np.arange(6.0)
    other = rows[::-1]

    def difference(a, b):
        assert sorted(b - 1) == sorted(a)
        return b.mean() - a.mean()

    found = cluster_bootstrap(
        difference, [rows, other + 1], [patients, patients[::-1]], resamples=20
    )
    assert found == pytest.approx((1, 1, 1))


def test_centred_interval_lies_about_the_estimate():
    random = np.random.default_rng(0)
    rows, patients = random.normal(size=60), np.repeat(np.arange(20), 3)
    # Unique values in a resample are few: their number is biased downwards.
    count = lambda x: float(len(np.unique(x)))  # noqa: E731
    plain = cluster_bootstrap(count, [rows], [patients])
    centred = cluster_bootstrap(count, [rows], [patients], centred=True)
    assert plain.high < 60
    assert centred.low < 60 < centred.high
    assert plain == cluster_bootstrap(count, [rows], [patients])


def test_bootstrap_without_an_answer():
    found = cluster_bootstrap(np.mean, [np.ones(3)], [np.zeros(3)])
    assert found.estimate == 1
    assert np.isnan([found.low, found.high]).all()
    with pytest.raises(ValueError, match="3 rows have 2"):
        cluster_bootstrap(np.mean, [np.ones(3)], [np.zeros(2)])


def test_patient_means_skip_what_is_missing():
    rows = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 2.0], [np.nan, 4.0]])
    means, names = patient_means(rows, np.array(["b", "b", "a", "a"]))
    assert names.tolist() == ["a", "b"]
    np.testing.assert_array_equal(means, [[5, 3], [2, np.nan]])
