import json

import nibabel
import numpy as np
import pytest
from harmonized import TO, brighter, harmonized, method

from jaxharmo.errors import InputError
from jaxharmo.harmonize.batch import harmonize
from jaxharmo.harmonize.nifti import NiftiImage

SHAPE = (7, 33, 20)


def image(path, axes="RAS", dtype=np.int16, zooms=(2.5, 0.7, 0.8), header=None, shape=SHAPE):
    """z, y, x in LPS, whose axes lie in the file in the given order."""
    z, y, x = np.indices(shape)
    hu = (-1000 + 100 * z + 10 * y + x).astype(dtype)
    affine = np.diag([-zooms[2], -zooms[1], zooms[0], 1.0])
    affine[:3, 3] = (12, 34, -56)
    made = nibabel.Nifti1Image(hu.transpose(2, 1, 0), affine, header)
    here, there = nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(axes)
    made = made.as_reoriented(nibabel.orientations.ornt_transform(here, there))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(made, path)
    return hu.astype(np.float32)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAR", "PIL"])
def test_slices_are_axial_whatever_the_order_in_the_file(tmp_path, axes):
    path, out = tmp_path / "ct.nii.gz", tmp_path / "out.nii.gz"
    hu = image(path, axes)
    volume = NiftiImage(path)
    assert volume.spacing == pytest.approx(0.8)
    seen = np.stack([volume.read(number)[1].hu for number in range(len(volume))])
    np.testing.assert_array_equal(seen, hu)
    harmonized(path, out, lambda slices: slices + np.arange(20) / 2)
    before, after = nibabel.load(path), nibabel.load(out)
    np.testing.assert_array_equal(before.affine, after.affine)
    for name in ("sform_code", "qform_code", "pixdim", "xyzt_units"):
        np.testing.assert_array_equal(before.header[name], after.header[name])
    assert after.get_data_dtype() == np.int16
    here, there = nibabel.io_orientation(after.affine), nibabel.orientations.axcodes2ornt("LPS")
    turned = after.as_reoriented(nibabel.orientations.ornt_transform(here, there))
    np.testing.assert_array_equal(
        np.rint(hu + np.arange(20) / 2), np.asanyarray(turned.dataobj).transpose(2, 1, 0)
    )


def test_floats_stay_floats_and_padding_keeps_its_value(tmp_path):
    image(tmp_path / "ct.nii", dtype=np.float32)
    found = nibabel.load(tmp_path / "ct.nii")
    voxels = found.get_fdata()
    voxels[0] = -2000.5
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), found.affine), tmp_path / "p.nii")
    harmonized(tmp_path / "p.nii", tmp_path / "out.nii", lambda hu: hu + np.float32(0.25))
    after = nibabel.load(tmp_path / "out.nii")
    assert after.get_data_dtype() == np.float32
    np.testing.assert_array_equal(after.get_fdata()[0], -2000.5)
    np.testing.assert_array_equal(after.get_fdata()[1:], voxels[1:] + 0.25)


def test_scaled_integers_become_hu(tmp_path):
    hu = image(tmp_path / "ct.nii")
    found = nibabel.load(tmp_path / "ct.nii")
    stored = nibabel.Nifti1Image(((found.get_fdata() + 1024) * 2).astype(np.int16), found.affine)
    stored.header.set_slope_inter(0.5, -1024)
    # nibabel would scale anew; the raw numbers are to be kept.
    nibabel.save(stored, tmp_path / "scaled.nii")
    raw = bytearray((tmp_path / "scaled.nii").read_bytes())
    raw[112:120] = np.array([0.5, -1024], "<f4").tobytes()
    (tmp_path / "scaled.nii").write_bytes(raw)
    volume = NiftiImage(tmp_path / "scaled.nii")
    np.testing.assert_array_equal(volume.read(3)[1].hu, hu[3])


def test_two_runs_and_a_second_one(tmp_path):
    image(tmp_path / "ct.nii.gz")
    for name in ("a.nii.gz", "b.nii.gz"):
        harmonized(tmp_path / "ct.nii.gz", tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    _, (line,) = harmonized(tmp_path / "ct.nii.gz", tmp_path / "a.nii.gz", translate=None)
    assert "already done" in line
    with pytest.raises(InputError, match="is not this image harmonized"):
        harmonized(tmp_path / "ct.nii.gz", tmp_path / "a.nii.gz", to="other")
    with pytest.raises(InputError, match="harmonized already; give the original"):
        harmonized(tmp_path / "a.nii.gz", tmp_path / "twice.nii.gz")
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert (sidecar["from"], sidecar["to"], sidecar["slices"]) == (None, TO, SHAPE[0])
    assert "not known" in sidecar["warnings"][0]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("ct.nii.gz", "a.nii.gz", "b.nii.gz", "a.json", "b.json")
    }


def test_a_folder_of_images_and_several_targets(tmp_path):
    for name in ("a", "sub/b"):
        image(tmp_path / "in" / f"{name}.nii.gz")
    methods = [method(to=TO), method(to="K -- B30f")]
    lines = []
    assert harmonize(tmp_path / "in", tmp_path / "out", methods, report=lines.append) == 4
    names = {
        path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("out/**/*.gz")
    }
    slugs = ("ge-medical-systems-lightspeed-vct-lung", "k-b30f")
    assert names == {f"{name}/{slug}.nii.gz" for name in ("a", "sub/b") for slug in slugs}


def test_a_damaged_image_costs_itself(tmp_path):
    for name in "abc":
        image(tmp_path / "in" / f"{name}.nii.gz")
    damaged = tmp_path / "in" / "b.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"1 of 3 results failed; first: .*b\.nii\.gz: not a read"):
        harmonized(tmp_path / "in", tmp_path / "out")
    files = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.nii.gz")]
    assert sorted(path.parts[0] for path in files) == ["a", "c"]


def test_a_stopped_run_leaves_nothing(tmp_path):
    image(tmp_path / "ct.nii")

    def stop(hu):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harmonized(tmp_path / "ct.nii", tmp_path / "out.nii", stop)
    assert [path.name for path in tmp_path.iterdir()] == ["ct.nii"]


def test_what_is_no_ct_is_told(tmp_path):
    image(tmp_path / "good.nii")
    data = nibabel.load(tmp_path / "good.nii")
    broken = {
        "pet": np.abs(data.get_fdata()).astype(np.float32),
        "nan": np.where(data.get_fdata() > -500, np.nan, data.get_fdata()).astype(np.float32),
        "series": np.stack([data.get_fdata()] * 2, -1).astype(np.int16),
    }
    for name, voxels in broken.items():
        nibabel.save(nibabel.Nifti1Image(voxels, data.affine), tmp_path / f"{name}.nii")
    (tmp_path / "cut.nii").write_bytes((tmp_path / "good.nii").read_bytes()[:-100])
    (tmp_path / "text.nii").write_text("no image")
    raw = bytearray((tmp_path / "good.nii").read_bytes())
    # pixdim[1:4]
    raw[80:92] = bytes(12)
    (tmp_path / "nowhere.nii").write_bytes(raw)
    for name, words in {
        "pet": "no CT in HU",
        "nan": "not finite",
        "series": "three-dimensional",
        "cut": "not a readable NIfTI",
        "text": "not a readable NIfTI",
        "nowhere": "spacing is missing",
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            harmonized(tmp_path / f"{name}.nii", tmp_path / "out.nii", brighter)
        assert f"{name}.nii" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"ends in .nii"):
        harmonized(tmp_path / "good.nii", tmp_path / "out.dcm")
    assert not (tmp_path / "out.nii").exists()
