import os

from dicom_files import ct_slice, save, write_series

from jaxharmo.data.prepare.domains import kernel_of
from jaxharmo.data.prepare.series import find_series, list_files


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
