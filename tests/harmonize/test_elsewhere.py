"""A folder of series in parts, by processes and by Dask workers: the same bytes."""

import numpy as np
import pytest
from dicom_files import write_series
from harmonized import opener

from jaxharmo.data.prepare.workers import Spread
from jaxharmo.errors import InputError
from jaxharmo.harmonize.batch import find_volumes, run
from jaxharmo.lock import locked_share


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    for name in "abc":
        write_series(folder / name, slices=3, series=name)
    return folder


def harmonize(source, destination, **spread):
    lines = []
    volumes = find_volumes(source, report=lines.append)
    spread = Spread(**{"workers": 1} | spread)
    options = {"report": lines.append, "spread": spread, "opener": opener}
    return run(volumes, destination, opener(), **options), lines


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    destination = tmp_path_factory.mktemp("whole") / "out"
    assert harmonize(source, destination)[0] == 6
    return contents(destination)


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_parts_write_the_same_bytes(whole, source, tmp_path):
    assert len(whole) == 3 * 2 * 4
    destination = tmp_path / "out"
    assert harmonize(source, destination, part="2/4")[0] == 2
    found = contents(destination)
    assert len(found) == 2 * 4
    assert found.items() <= whole.items()
    for part, count in (("1/4", 2), ("3/4", 1), ("4/4", 1)):
        assert harmonize(source, destination, part=part)[0] == count
    assert contents(destination) == whole
    _, lines = harmonize(source, destination, part="1/4")
    assert sum("already done" in line for line in lines) == 2


def test_a_part_is_done_by_one_process_at_a_time(source, tmp_path):
    with (
        locked_share(tmp_path / "out.lock", "this", (1, 2)),
        pytest.raises(InputError, match="is at work on part 1 of 2"),
    ):
        harmonize(source, tmp_path / "out", part="1/2")
    for part in ("0/2", "3/2", "a/2", "2"):
        with pytest.raises(InputError, match="must be i/n"):
            harmonize(source, tmp_path / "out", part=part)


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_and_name_what_failed(whole, source, tmp_path):
    _, lines = harmonize(source, tmp_path / "out", workers=2)
    assert contents(tmp_path / "out") == whole
    assert sum(": 3 slices," in line for line in lines) == 6
    (tmp_path / "other" / "b").mkdir(parents=True)
    (tmp_path / "other" / "b" / "acme-b").write_text("")
    with pytest.raises(InputError, match=r"1 of 6 results failed; first: .*acme-b: a file"):
        harmonize(source, tmp_path / "other", workers=2)
    assert len(contents(tmp_path / "other")) == 5 * 4 + 1


@pytest.mark.slow
def test_two_dask_workers_write_the_same_bytes(whole, source, tmp_path, dask_scheduler):
    harmonize(source, tmp_path / "out", scheduler=dask_scheduler)
    assert contents(tmp_path / "out") == whole


@pytest.mark.slow
def test_nifti_volumes_go_to_other_processes(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    (tmp_path / "in").mkdir()
    for name in "ab":
        voxels = np.random.default_rng(1).integers(-1000, 300, (32, 32, 3)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "in" / f"{name}.nii.gz")
    for folder, spread in (("here", {}), ("there", {"workers": 2})):
        assert harmonize(tmp_path / "in", tmp_path / folder, **spread)[0] == 4
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
