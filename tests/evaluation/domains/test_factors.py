import pytest

from jaxharmo.data.manifest import Acquisition
from jaxharmo.evaluation.domains.factors import (
    UNKNOWN,
    combined,
    factors_of,
    kernel_class,
    settles,
)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("B10f", "smooth"),
        ("B30f", "smooth"),
        ("B40f", "medium"),
        ("B70f", "sharp"),
        ("Br40d/3", "medium"),
        ("I50f", "sharp"),
        ("STANDARD", "smooth"),
        ("Lung", "sharp"),
        ("BONEPLUS", "sharp"),
        ("B", "smooth"),
        ("C", "medium"),
        ("L", "sharp"),
        ("FC03", "smooth"),
        ("FC51", "sharp"),
        ("experimental", None),
        ("", None),
        (None, None),
    ],
)
def test_class_of_a_kernel(kernel, expected):
    assert kernel_class(kernel) == expected


def levels(series):
    return {factor.name: factor.levels.tolist() for factor in factors_of(series)}


def test_factors_are_those_that_some_header_tells_of():
    found = levels(
        [
            Acquisition(manufacturer="A", model="1", kernel="B30f", kvp=120.0, contrast=False),
            Acquisition(manufacturer="A", kernel="odd", contrast=True),
        ]
    )
    assert found == {
        "kernel": ["B30f", "odd"],
        "convolution class": ["smooth", UNKNOWN],
        "model": ["A 1", "A"],
        "manufacturer": ["A", "A"],
        "kVp": ["120 kV", UNKNOWN],
        "contrast": ["none", "given"],
    }
    assert levels([Acquisition()]) == {}


def test_many_numbers_are_cut_into_thirds():
    found = levels([Acquisition(exposure=float(value)) for value in range(1, 31)])["exposure"]
    assert [found.count(level) for level in sorted(set(found))] == [10, 10, 10]
    few = levels([Acquisition(exposure=float(value % 6)) for value in range(30)])["exposure"]
    assert len(set(few)) == 6


def test_one_factor_settles_another():
    series = [
        Acquisition(manufacturer="A", kernel="B30f"),
        Acquisition(manufacturer="A", kernel="B70f"),
        Acquisition(manufacturer="B", kernel="C"),
    ]
    kernel, _, _, manufacturer = factors_of(series)
    assert settles(kernel, manufacturer)
    assert not settles(manufacturer, kernel)
    both = combined([kernel, manufacturer], "both")
    assert settles(both, kernel)
    assert settles(kernel, both)
