"""What other programs say to harmonized series of real CT; each test needs its program."""

import shutil
import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
from harmonized import method

from jaxharmo.harmonize.batch import find_volumes, harmonize
from jaxharmo.harmonize.series import SIDECAR

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pairs(real_ct, tmp_path_factory):
    """Folders of source and result, of all series to one target."""
    out = tmp_path_factory.mktemp("out")
    target = method(lambda hu: hu + np.float32(10.4), kernel_tag=True, to="A Scanner -- B30f")
    count = harmonize(real_ct, out, [target], report=lambda line: None)
    volumes = find_volumes(real_ct, report=lambda line: None)
    assert count == len(volumes) == 6
    return [(real_ct / each.label, out / each.label / "a-scanner-b30f") for each in volumes]


def lines(*words):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def dicom_files(folder):
    return [path for path in sorted(folder.iterdir()) if path.name != SIDECAR]


def program(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def errors(found):
    return {line for line in found if line.startswith("Error")}


def test_dciodvfy_finds_no_new_error(pairs):
    check = program("dciodvfy")
    for source, result in pairs:
        known = set().union(*(errors(lines(check, path)) for path in dicom_files(source)))
        for path in dicom_files(result):
            assert errors(lines(check, path)) <= known


def test_dcentvfy_finds_no_new_error(pairs):
    check = program("dcentvfy")
    for source, result in pairs:
        known = errors(lines(check, *dicom_files(source)))
        assert len(errors(lines(check, *dicom_files(result)))) <= len(known)
        both = [*dicom_files(source), *dicom_files(result)]
        assert len(errors(lines(check, *both))) <= len(known)


def test_dcm2niix_sees_the_same_geometry_and_the_new_values(pairs, tmp_path):
    convert = pytest.importorskip("dcm2niix").bin
    for number, (source, result) in enumerate(pairs):
        images = []
        for name, folder in (("before", source), ("after", result)):
            place = tmp_path / f"{name}{number}"
            place.mkdir()
            said = lines(convert, "-z", "n", "-o", place, "-f", "image", folder)
            (path,) = place.glob("*.nii")
            assert not [line for line in said if "Error" in line], said
            images.append(nibabel.load(path))
        before, after = images
        assert before.shape == after.shape
        np.testing.assert_array_equal(before.affine, after.affine)
        change = after.get_fdata() - before.get_fdata()
        inside = before.get_fdata() >= -1024
        assert set(np.unique(change[inside])) == {10.0}
        header = pydicom.dcmread(dicom_files(result)[0])
        assert header.ConvolutionKernel == "B30f"
