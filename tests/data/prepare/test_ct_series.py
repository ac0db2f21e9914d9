import os

import pytest
from dicom_files import ct_slice, save, write_series

from jaxharmo.data.prepare.domains import kernel_of
from jaxharmo.data.prepare.factors import acquisition_of_series
from jaxharmo.data.prepare.geometry import oddities
from jaxharmo.data.prepare.headers import read_headers
from jaxharmo.data.prepare.scan import find_series
from jaxharmo.data.prepare.series import group, list_files


def test_series_are_told_apart_and_sorted_by_position(tmp_path):
    sharp = write_series(tmp_path, series="sharp", kernel="B70f")
    write_series(tmp_path, series="smooth", slices=4)
    write_series(tmp_path, series="wide", slices=3, spacing=0.9)
    series, skipped = find_series(tmp_path, list_files(tmp_path))
    assert not skipped
    assert sorted(len(each.slices) for each in series) == [3, 4, 6]
    (found,) = [each for each in series if kernel_of(each.domain) == "B70f"]
    assert [item.path for item in found.slices] == sharp
    assert found.positions == (0.0, 2.5, 5.0, 7.5, 10.0, 12.5)
    assert found.slices[0].spacing == (0.75, 0.75)


def test_positions_are_along_the_normal_of_any_plane(tmp_path):
    for index in range(3):
        tags = {
            "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
            "ImagePositionPatient": [-3 * index, 5, 7],
        }
        save(ct_slice(index, **tags), tmp_path / str(index))
    (series,), _ = find_series(tmp_path, list_files(tmp_path))
    assert series.positions == (0.0, 3.0, 6.0)


def test_links_in_a_circle_and_pipes_do_not_stop_the_search(tmp_path):
    write_series(tmp_path / "a")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    assert len(list_files(tmp_path)) == 6


def series_of(folder):
    found, skipped = group(
        item for path in list_files(folder) for item in read_headers(path, path.name, derived=False)
    )
    assert not skipped
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({2: {"ImagePositionPatient": [-24, -24, 5.01]}}, []),
        ({2: None}, ["1 gaps of up to 5 mm, 2.5 mm mostly: about 1 slices missing"]),
        ({2: {"ImagePositionPatient": [-24, -24, 5.5]}}, ["slices 2 to 3 mm apart"]),
        ({2: {"ImagePositionPatient": [-24, -24, 2.5]}}, ["1 slices at the position", "1 gaps"]),
        ({0: {"SliceThickness": 1}, 1: {"SliceThickness": 2}}, ["slices 1 to 5 mm thick"]),
        (
            {n: {"ImagePositionPatient": [-24, -24 + 2.5 * n * 0.2, 2.5 * n]} for n in range(6)},
            [r"gantry tilted by 11.3°"],
        ),
    ],
)
def test_what_is_odd_about_a_series_is_told(tmp_path, change, words):
    for index in range(6):
        tags = change.get(index, {})
        if tags is not None:
            save(ct_slice(index, **tags), tmp_path / str(index))
    (series,) = series_of(tmp_path)
    told = list(oddities(series))
    assert len(told) == len(words)
    assert all(word in line for word, line in zip(words, told, strict=True))


def test_the_phases_of_a_dynamic_scan_are_series_of_their_own(tmp_path):
    for index in range(8):
        tags = {"ImagePositionPatient": [-24, -24, index % 4], "AcquisitionNumber": index // 4}
        save(ct_slice(index, **tags), tmp_path / str(index))
    assert [len(each.slices) for each in series_of(tmp_path)] == [4, 4]


def test_counted_single_slices_are_no_phases(tmp_path):
    for index in range(4):
        save(ct_slice(index, AcquisitionNumber=index), tmp_path / str(index))
    save(ct_slice(9, ImagePositionPatient=[-24, -24, 0], AcquisitionNumber=0), tmp_path / "again")
    assert [len(each.slices) for each in series_of(tmp_path)] == [5]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, {"contrast": False, "exposure": None, "kvp": None}),
        ({"ContrastBolusAgent": "OMNIPAQUE"}, {"contrast": True}),
        ({"ContrastBolusAgent": ""}, {"contrast": None}),
        ({"ContrastBolusAgent": "None"}, {"contrast": False}),
        ({"ContrastBolusAgent": "", "ContrastBolusRoute": "IV"}, {"contrast": True}),
        ({"ContrastBolusVolume": "0"}, {"contrast": False}),
        ({"ContrastBolusVolume": "80"}, {"contrast": True}),
        ({"Exposure": 150, "KVP": 120}, {"exposure": 150.0, "kvp": 120.0}),
        ({"Exposure": 3, "XRayTubeCurrent": 99, "ExposureTime": 500}, {"exposure": 49.5}),
        ({"ExposureInuAs": 77000}, {"exposure": 77.0}),
        ({"KVP": "0", "Exposure": -1}, {"exposure": None, "kvp": None}),
        ({"ConvolutionKernel": ["br40D", "3"]}, {"kernel": "Br40d/3", "kernel_raw": "br40D\\3"}),
        ({"Manufacturer": "Siemens AG"}, {"manufacturer": "SIEMENS", "model": "Sensation 16"}),
        ({"SliceThickness": None}, {"slice_thickness": None, "pixel_spacing": 0.75}),
    ],
)
def test_how_a_series_was_acquired(tmp_path, tags, expected):
    for index in range(3):
        save(ct_slice(index, **tags), tmp_path / str(index))
    (series,) = series_of(tmp_path)
    found = acquisition_of_series([item.factors for item in series.slices])
    assert {name: getattr(found, name) for name in expected} == expected


def test_a_series_is_what_most_of_its_slices_are(tmp_path):
    for index, (thickness, exposure) in enumerate([(5, 10), (5, 20), (1, 60)]):
        save(ct_slice(index, SliceThickness=thickness, Exposure=exposure), tmp_path / str(index))
    (series,) = series_of(tmp_path)
    found = acquisition_of_series([item.factors for item in series.slices])
    assert (found.slice_thickness, found.exposure) == (5.0, 20.0)
