"""Factors of known effect are ranked; those that cannot be judged are not."""

import dataclasses
import math

import numpy as np
import pytest
from made_up import collection, units_of

from jaxharmo.data.manifest import Acquisition
from jaxharmo.evaluation.domains.factors import Factor, factors_of
from jaxharmo.evaluation.domains.report import ranking
from jaxharmo.evaluation.domains.variance import (
    assess,
    associations,
    blocks,
    explained,
    rank_factors,
    standardised,
)


def ranked(units):
    return {effect.factor: effect for effect in rank_factors(units, factors_of(units.series))}


def test_explained_share_equals_the_formula():
    random = np.random.default_rng(0)
    table, labels = random.normal(size=(30, 4)), random.integers(3, size=30)
    table += labels[:, None]
    z = (table - table.mean(0)) / table.std(0)
    groups = [z[labels == kind] for kind in range(3)]
    between = sum(len(group) * (group.mean(0) ** 2).sum() for group in groups)
    assert explained(table, [labels]) == pytest.approx(between / (z**2).sum())
    assert explained(table, [labels, labels % 2]) == pytest.approx(between / (z**2).sum())
    assert explained(table, [np.arange(30)]) == pytest.approx(1)
    assert explained(table, []) == pytest.approx(0, abs=1e-12)


def test_flat_and_unknown_features_are_left_out():
    table = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, 1.0], [4.0, 5.0, 2.0]])
    assert standardised(table).shape == (3, 1)


def test_labels_move_within_a_patient_who_has_several():
    labels = np.array(["a", "b", "a", "a", "b"])
    patients = np.array(["p", "p", "q", "q", "r"])
    assert blocks(labels, patients).tolist() == ["p", "p", "", "", ""]


@pytest.mark.parametrize("paired", [False, True])
def test_what_matters_comes_before_what_does_not(paired):
    series, patients = collection(24 if paired else 48, paired=paired)
    effects = (("kernel", 2.0), ("model", 1.2))
    found = ranked(units_of(series, patients, effects, patient=0.7))
    assert found["kernel"].rank == 1
    assert found["kernel"].p < 0.01
    assert found["kernel"].effect > found["model"].effect > 0.1
    assert found["model"].p < 0.05
    for label in ("kVp", "slice thickness"):
        assert abs(found[label].effect) < 0.08
        assert found[label].p > 0.05
        assert found[label].rank > found["model"].rank
    assert found["kernel"].beyond > 0.2
    assert found["kVp"].beyond < 0.05
    assert found["kernel"].auc > 0.95
    assert found["kVp"].auc < 0.8
    assert found["kernel"].features_differ > 0.8
    assert found["kVp"].features_differ < 0.2


def test_a_label_of_patients_is_not_significant_for_the_number_of_their_rows():
    """Ten reconstructions of a patient are not ten patients."""
    series, patients = collection(12, paired=True)
    series, patients = series * 5, patients * 5
    chances = [
        assess(
            units_of(series, patients, patient=2.0, noise=0.1, seed=seed),
            np.array([str(each.kvp) for each in series]),
        )[2]
        for seed in range(20)
    ]
    assert np.mean(np.array(chances) < 0.05) <= 0.15


def test_factors_of_the_same_groups_share_a_rank():
    series, patients = collection(24, paired=False)
    series = [dataclasses.replace(s, exposure=50.0 if s.model == "1" else 80.0) for s in series]
    units = units_of(series, patients, (("kernel", 1.0), ("model", 2.0)), patient=0.5)
    found = ranked(units)
    assert found["exposure"].rank == found["model"].rank == found["manufacturer"].rank == 1
    assert set(found["exposure"].same_as) == {"model", "manufacturer"}
    assert found["exposure"].beyond == pytest.approx(0, abs=1e-9)
    lines = ranking(list(found.values()))
    assert any("model" in line and "cannot be separated from" in line for line in lines)
    relations = {(row["a"], row["b"]): row for row in associations(factors_of(series))}
    assert relations["model", "exposure"]["cramers_v"] == pytest.approx(1)
    assert "cannot be separated" in relations["model", "exposure"]["relation"]
    assert relations["kernel", "model"]["relation"] == "crossed"


def test_a_kernel_that_has_its_own_scanner_settles_it():
    series, patients = collection(24, paired=False)
    series = [
        dataclasses.replace(s, kernel=f"{s.kernel[:2]}{s.model}f") for s in series
    ]  # B31f, B32f, B51f ...
    found = ranked(units_of(series, patients, (("kernel", 2.0),), patient=0.5))
    assert "kernel" in found["model"].settled_by
    assert found["model"].beyond == pytest.approx(0, abs=1e-9)
    assert found["kernel"].rank < found["model"].rank
    assert any(
        "model" in line and "every level of kernel has one level of it" in line
        for line in ranking(list(found.values()))
    )


def few_patients():
    """Four patients, two of whom were reconstructed twice, each on a scanner of its own."""
    kernels = (("P", "L"), ("P", "B"), ("S", "B70f"), ("S", "B40f"), ("G", "LUNG"), ("H", "SOFT"))
    series = [Acquisition(manufacturer=m, model="1", kernel=k) for m, k in kernels]
    return series, ["p", "p", "s", "s", "g", "h"]


def test_pairs_bound_what_too_few_patients_cannot_show():
    series, patients = few_patients()
    found = ranked(units_of(series, patients, (("kernel", 2.0),), patient=0.2))
    kernel = found["kernel"]
    assert kernel.rank == 1
    assert math.isnan(kernel.p)
    assert "lower bound" in kernel.note
    assert kernel.effect >= kernel.paired > 0.2
    assert found["model"].rank is None
    assert not found["model"].judged
    assert "too few patients" in found["model"].note
    assert "not ranked: model" in ranking(list(found.values()))[-1]


def test_pairs_are_of_one_acquisition():
    series, patients = few_patients()
    unpaired = units_of(series, patients, (("kernel", 2.0),), acquisitions=[*"abcdef"])
    assert math.isnan(ranked(unpaired)["kernel"].paired)


def test_one_level_is_no_factor():
    series, patients = collection(6, paired=True)
    units = units_of(series, patients)
    constant = Factor("contrast", np.array(["none"] * len(series)))
    assert rank_factors(units, [constant]) == []
