"""Slices that claim one place: an intact one wins over a damaged one, whatever the names."""

import numpy as np
import pytest
from dicom_files import ct_slice, hounsfield, save, uid, write_series
from prepared import all_slices, prepared, skipped_files, warned

from jaxharmo.data.prepare.tasks import DOUBLE

NAMES = ("a", "zz")
"""Before and after those of the series."""


def pixels_at(tmp_path):
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    return {
        round(item.header.position / 2.5): item.pixels
        for _, item in all_slices(tmp_path / "out", manifest)
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0, 3, 5])
@pytest.mark.parametrize("identity", ["same", "other"])
def test_damaged_pixels_lose(tmp_path, name, place, identity):
    write_series(tmp_path / "in", slices=6)
    damaged = ct_slice(place)
    if identity == "other":
        damaged.SOPInstanceUID = uid(name, place)
    data = bytearray(damaged.PixelData)
    data[2001] ^= 0x08
    damaged.PixelData = bytes(data)
    save(damaged, tmp_path / "in" / name)
    found = pixels_at(tmp_path)
    assert len(found) == 6
    for index, pixels in found.items():
        np.testing.assert_array_equal(pixels, hounsfield(index))
    assert skipped_files(tmp_path / "out") == {name: DOUBLE}
    assert "slices at one position differ, at 1 positions" in warned(tmp_path / "out")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("identity", ["same", "other"])
def test_a_damaged_position_loses(tmp_path, name, identity):
    """Slice 5 with the position of slice 2, or with the one of no slice."""
    write_series(tmp_path / "in", slices=6)
    for number, height in enumerate((2 * 2.5, 1e4)):
        damaged = ct_slice(5, ImagePositionPatient=[-24, -24, height])
        if identity == "other" and number == 0:
            damaged.SOPInstanceUID = uid(name)
        save(damaged, tmp_path / "in" / f"{name}{number}")
    found = pixels_at(tmp_path)
    assert sorted(found) == list(range(6))
    for index, pixels in found.items():
        np.testing.assert_array_equal(pixels, hounsfield(index))


def test_copies_are_no_matter_of_warning(tmp_path):
    write_series(tmp_path / "in", slices=4)
    save(ct_slice(1), tmp_path / "in" / "copy")
    assert len(pixels_at(tmp_path)) == 4
    assert not [line for line in warned(tmp_path / "out") if "differ" in line]
