import gzip

import numpy as np
import pytest
from dicom_files import write_series
from prepared import all_slices, prepared, skipped_files

from jaxharmo.data.prepare.domains import kernel_of
from jaxharmo.data.prepare.nifti import UNLABELLED, read_labels
from jaxharmo.errors import InputError

nibabel = pytest.importorskip("nibabel")
RAS = np.diag([0.8, 0.9, 2.5, 1])
LPS = np.diag([-0.8, -0.9, 2.5, 1])


def volume():
    """x y z in RAS+: brighter to the right, the front and the head, HU."""
    x, y, z = np.mgrid[:12, :16, :5]
    return (10 * x + 3 * y + 100 * z - 500).astype(np.int16)


def write(path, data, affine=RAS, slope=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, affine)
    if slope:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)
    return path


def label(path, *rows):
    path.write_text("file,domain,patient,acquisition,kvp,contrast\n" + "\n".join(rows))
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(("affine", "step"), [(RAS, 1), (LPS, -1)])
def test_slices_are_shown_as_dicom_shows_them(tmp_path, name, affine, step):
    write(tmp_path / "in" / name, volume()[::step, ::step].copy(), affine)
    labels = label(tmp_path / "labels.csv", f"{name},A,p1,,120,yes")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", labels=labels)
    found = [each for _, each in all_slices(tmp_path / "out", manifest)]
    assert [each.header.position for each in found] == [0, 2.5, 5, 7.5, 10]
    for index, each in enumerate(found):
        # The first row is at the front, the first column at the patient's right.
        np.testing.assert_array_equal(each.pixels, volume()[::-1, ::-1, index].T)
        assert each.header.spacing == pytest.approx((0.9, 0.8))
    (factors,) = manifest.series.values()
    assert (factors.kvp, factors.contrast, factors.kernel) == (120.0, True, None)


def test_scaled_and_upside_down(tmp_path):
    affine = np.diag([0.8, 0.9, -2.5, 1])
    write(tmp_path / "in" / "a.nii", volume()[:, :, ::-1].copy(), affine, slope=(2, -7))
    labels = label(tmp_path / "labels.csv", "a.nii,A,p1,,,")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", labels=labels)
    raw = np.asarray(nibabel.load(tmp_path / "in" / "a.nii").dataobj)
    found = [each for _, each in all_slices(tmp_path / "out", manifest)]
    for index, each in enumerate(found):
        np.testing.assert_array_equal(each.pixels, np.rint(raw[::-1, ::-1, 4 - index].T))


def test_volumes_and_dicom_in_one_folder(tmp_path):
    source = tmp_path / "in"
    write_series(source / "dicom", slices=4, kernel="B30f")
    for kernel in ("smooth", "sharp"):
        write(source / "p1" / f"{kernel}.nii.gz", volume())
    write(source / "p2" / "none.nii", volume())
    write(source / "p2" / "time.nii", np.zeros((4, 4, 4, 2), np.int16))
    write(source / "p2" / "sideways.nii", volume(), RAS[[1, 2, 0, 3]])
    write(source / "p2" / "nan.nii", np.full((4, 4, 3), np.nan, np.float32))
    cut = write(source / "p2" / "cut.nii", volume())
    cut.write_bytes(cut.read_bytes()[:-500])
    squeezed = write(source / "p2" / "squeezed.nii.gz", volume())
    squeezed.write_bytes(gzip.compress(gzip.decompress(squeezed.read_bytes())[:-500]))
    (source / "p2" / "text.nii").write_text("no volume")
    names = ("time", "sideways", "nan", "cut", "text")
    labels = label(
        tmp_path / "labels.csv",
        "p1/smooth.nii.gz,smooth,one,first,,",
        "p1\\sharp.nii.gz,sharp,one,first,,",
        "p2/squeezed.nii.gz,sharp,two,,,",
        *(f"p2/{name}.nii,sharp,two,,," for name in names),
    )
    manifest, _ = prepared(source, tmp_path / "out", labels=labels)
    counts = {kernel_of(each.name): sum(each.slices.values()) for each in manifest.domains}
    assert counts == {"B30f": 4, "smooth": 5, "sharp": 5 + 3 + 3}
    assert manifest.paired == (("sharp", "smooth"),)
    skipped = skipped_files(tmp_path / "out")
    assert skipped.pop("p2/none.nii") == UNLABELLED
    assert skipped.pop("p2/time.nii") == "not a volume of three dimensions"
    assert skipped.pop("p2/sideways.nii") == "not stored as axial slices; reorient it to RAS"
    assert skipped.pop("p2/text.nii") == "damaged NIfTI header"
    assert set(skipped.values()) == {"truncated or damaged volume"}
    assert sorted(skipped) == [
        *(f"p2/cut.nii frame {number}" for number in (4, 5)),
        *(f"p2/nan.nii frame {number}" for number in (1, 2, 3)),
        *(f"p2/squeezed.nii.gz frame {number}" for number in (4, 5)),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,domain\na,b\n", "unknown column 'path'"),
        ("domain\nb\n", "no column file"),
        ("file,domain\n", "no column file"),
        ("file,domain\na.nii,\n", "line 2: needs a file, and a domain or a kernel"),
        ("file,domain\na.nii,x\na.nii,y\n", "line 3: a file named before"),
        ("file,domain,kvp\na.nii,x,high\n", "line 2: a number is no number"),
        ("file,domain,contrast\na.nii,x,maybe\n", "line 2: contrast must be"),
    ],
)
def test_labels_that_are_of_no_use(tmp_path, text, words):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_labels(path, "scanner-kernel")
    with pytest.raises(InputError, match="no CSV that can be read"):
        read_labels(tmp_path, "scanner-kernel")


def test_a_domain_made_of_its_parts(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,manufacturer,model,kernel\na.nii,Siemens AG,Force,b70F\n")
    assert read_labels(path, "scanner-kernel")["a.nii"].domain == "SIEMENS Force -- B70f"
    assert read_labels(path, "kernel")["a.nii"].domain == "B70f"
