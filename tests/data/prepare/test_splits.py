from collections import Counter
from itertools import chain

import numpy as np
import pytest
from dicom_files import truncate, write_series
from prepared import all_slices, prepared

from jaxharmo.data.manifest import SPLITS
from jaxharmo.data.prepare.domains import kernel_of
from jaxharmo.data.prepare.splits import split_patients, split_positions


def test_patients_are_split_within_every_domain():
    domains_of = {f"a{number}": {"A"} for number in range(20)}
    domains_of |= {f"b{number}": {"B"} for number in range(3)}
    domains_of |= {f"c{number}": {"A", "C"} for number in range(5)}
    result = split_patients(domains_of)
    assert result == split_patients(dict(reversed(domains_of.items())))
    for domain, expected in {"A": (17, 3, 5), "B": (1, 1, 1), "C": (3, 1, 1)}.items():
        counts = Counter(result[patient] for patient in result if domain in domains_of[patient])
        found = tuple(counts[split] for split in SPLITS)
        assert np.abs(np.subtract(found, expected)).max() <= 1, (domain, found)
        assert min(found) >= 1


def test_positions_are_split_into_contiguous_blocks():
    splits = split_positions([9.0, *range(9), 9.0])
    assert [splits[position] for position in range(10)] == (
        ["train"] * 7 + ["validation"] + ["test"] * 2
    )
    assert set(split_positions([1.0, 2.0]).values()) == {"train"}


def test_gaps_between_blocks_belong_to_no_split():
    splits = split_positions(range(24), gap=2)
    blocks = {name: [p for p in range(24) if splits.get(p) == name] for name in SPLITS}
    assert blocks["train"] == list(range(14))
    assert blocks["validation"] == [16, 17]
    assert blocks["test"] == [20, 21, 22, 23]
    # Without a slice to spare there are no gaps.
    assert len(split_positions(range(4), gap=2)) == 4


def write_patients(source, counts):
    for kernel, count in counts.items():
        for number in range(count):
            name = f"{kernel}-{number}"
            write_series(source / name, slices=2, patient=name, series=name, kernel=kernel)


def test_no_patient_is_in_two_splits_where_patients_suffice(tmp_path):
    write_patients(tmp_path / "in", {"B30f": 5, "B70f": 3, "B50f": 1})
    manifest, lines = prepared(tmp_path / "in", tmp_path / "out")
    assert manifest.split_by == "patient"
    assert sorted(chain(*manifest.patients.values())) == [f"P{n:04d}" for n in range(1, 10)]
    slices = {kernel_of(domain.name): domain.slices for domain in manifest.domains}
    assert slices["B70f"] == {"train": 2, "validation": 2, "test": 2}
    assert slices["B50f"] == {"train": 2, "validation": 0, "test": 0}
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert "B50f" in warning
    found = all_slices(tmp_path / "out", manifest)
    assert len(found) == 18
    assert all(item.header.patient in manifest.patients[split] for split, item in found)


def test_blocks_of_slices_where_patients_are_too_few(tmp_path):
    write_patients(tmp_path / "in", {"B30f": 5, "B70f": 2})
    manifest, lines = prepared(tmp_path / "in", tmp_path / "out")
    assert manifest.split_by == "slice block"
    (warning,) = [line for line in lines if line.startswith("warning")]
    assert "too few to split by patient" in warning


def test_reconstructions_of_one_acquisition_are_paired_and_split_alike(tmp_path):
    source = tmp_path / "in"
    sharp = write_series(source, slices=10, series="sharp", kernel="B70f")
    write_series(source, slices=10, series="smooth", kernel="B30f")
    write_series(source, slices=10, series="later", kernel="B50f", AcquisitionTime="130000")
    write_series(source, slices=10, series="wide", kernel="B60f", spacing=0.9)
    sharp[0].unlink()
    truncate(sharp[5], -5000)
    manifest, _ = prepared(source, tmp_path / "out")
    assert manifest.paired == (("SIEMENS Sensation 16 -- B30f", "SIEMENS Sensation 16 -- B70f"),)
    places = {"B30f": {}, "B70f": {}}
    for split, item in all_slices(tmp_path / "out", manifest):
        kernel = kernel_of(manifest.domains[item.header.domain].name)
        if kernel in places:
            places[kernel][item.header.acquisition, item.header.position] = split
    assert len(places["B70f"]) == 8
    assert places["B70f"].items() <= places["B30f"].items()


@pytest.mark.parametrize("lacking", ["FrameOfReferenceUID", "AcquisitionTime"])
def test_nothing_is_paired_on_a_guess(tmp_path, lacking):
    for kernel in ("B30f", "B70f"):
        write_series(tmp_path / "in", series=kernel, kernel=kernel, **{lacking: None})
    assert prepared(tmp_path / "in", tmp_path / "out")[0].paired == ()
