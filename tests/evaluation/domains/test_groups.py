import math
import shlex

import numpy as np
import pytest
from made_up import collection, units_of

from jaxharmo.data.manifest import Domain, Manifest
from jaxharmo.evaluation.domains.factors import Factor, factors_of
from jaxharmo.evaluation.domains.groups import (
    best_definition,
    compare_definitions,
    compare_pairs,
    propose,
)


@pytest.mark.parametrize("paired", [pytest.param(False, marks=pytest.mark.slow), True])
def test_pairs_that_differ_are_told_from_those_that_do_not(paired):
    series, patients = collection(36 if paired else 72, paired=paired)
    units = units_of(series, patients, (("kernel", 2.0),), patient=0.5)
    rows = compare_pairs(units, Factor("domain", units.domains))
    assert len(rows) == 15
    for row in rows:
        same_kernel = row["a"].split("--")[1] == row["b"].split("--")[1]
        assert (row["q"] < 0.05) != same_kernel, row
        assert (row["effect"] > 0.2) != same_kernel
        same_scanner = row["a"].split("--")[0] == row["b"].split("--")[0]
        assert row["patients_shared"] == (18 if paired and same_scanner else 0)
        if not same_kernel:
            assert row["features_differ"] > 0.5


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (("kernel", "model"), "manufacturer and kernel"),
        pytest.param(("kernel",), "kernel", marks=pytest.mark.slow),
        pytest.param(("model",), "manufacturer", marks=pytest.mark.slow),
    ],
)
def test_the_definition_follows_what_matters(fields, expected):
    series, patients = collection(48, paired=False)
    effects = [(field, 2.0) for field in fields]
    units = units_of(series, patients, effects, patient=0.5)
    definitions = compare_definitions(units, factors_of(series), 3)
    assert best_definition(definitions) == expected
    assert best_definition([]) is None


def test_definitions_of_the_same_groups_are_listed_once():
    series, patients = collection(24, paired=False)
    rows = compare_definitions(units_of(series, patients), factors_of(series), 5)
    names = [row["definition"] for row in rows]
    assert "manufacturer" in names
    assert "model" not in names
    assert all(row["domains_with_enough_patients"] <= row["domains"] for row in rows)


def manifest_of(units, **slices):
    names = sorted(set(units.domains.tolist()))
    return Manifest(
        window=(-1024.0, 3071.0),
        spacing="native",
        split_by="patient",
        domains=tuple(
            Domain(
                index=number,
                name=name,
                slug=str(number),
                slices=slices.get(f"d{number}", {"train": 3, "validation": 1, "test": 1}),
            )
            for number, name in enumerate(names)
        ),
        patients={},
        paired=(),
        provenance={},
    )


def test_domains_with_enough_patients_are_proposed():
    series, patients = collection(14, paired=False)
    units = units_of(series, patients)
    counts = {name: len(set(units.patients[units.domains == name])) for name in set(units.domains)}
    manifest = manifest_of(units, d0={"train": 3, "validation": 1, "test": 0})
    first = manifest.domain_names[0]
    found = propose(manifest, units, [], 3)
    expected = [n for n in manifest.domain_names if counts[n] >= 3 and n != first]
    assert found.warnings or list(found.domains) == expected
    assert "test" in found.left_out[first]
    assert shlex.split(found.arguments) == ["--data.domains", *found.domains]
    every = propose(manifest, units, [], 99)
    assert set(every.domains) == set(manifest.domain_names) - {first}
    assert "99 patients" in every.warnings[0]


def test_domains_without_a_difference_are_named():
    series, patients = collection(24, paired=False)
    units = units_of(series, patients)
    a, b, *_ = sorted(set(units.domains.tolist()))
    pair = {"a": a, "b": b, "p": 0.4, "effect": 0.0, "patients_a": 9, "patients_b": 5}

    def alike(**fields):
        return propose(manifest_of(units), units, [pair | fields], 2).alike

    assert alike() == ((a, b),)
    assert alike(b="elsewhere") == ()
    assert alike(p=0.01) == ()
    assert alike(p=math.nan, effect=math.nan) == ()
    assert alike(effect=0.2) == ()
    assert alike(patients_b=4) == ()
    assert np.isfinite(units.features).all()
