import pytest
from dicom_files import SECRETS, ct_slice, save, truncate, uid, write_series
from harmonized import harmonized

from jaxharmo.errors import InputError


def spoil_text(folder):
    (folder / "text.dcm").write_text("no image")


def spoil_header(folder):
    truncate(save(ct_slice(20), folder / "x"), 700)


def spoil_pixels(folder):
    truncate(save(ct_slice(20), folder / "x"), -100)


def spoil_place(folder):
    save(ct_slice(20, ImagePositionPatient=None), folder / "x")


def spoil_identity(folder):
    save(ct_slice(20, SOPInstanceUID=uid(SECRETS[1], "study", "series", 0)), folder / "x")


def spoil_position(folder):
    save(ct_slice(20, ImagePositionPatient=[-24, -24, 0]), folder / "x")


def spoil_series(folder):
    write_series(folder, series="second", slices=1)


def spoil_spacing(folder):
    save(ct_slice(20, PixelSpacing=None), folder / "x")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_text, "text.dcm: not a DICOM file; restore the file"),
        (spoil_header, "x: ImagePositionPatient missing"),
        (spoil_pixels, "x: truncated pixel data; no slice may be missing"),
        (spoil_place, "x: ImagePositionPatient missing"),
        (spoil_identity, "SOPInstanceUID of another file"),
        (spoil_position, "several slices at one position"),
        (spoil_series, "holds 2 CT series mixed; sort them into a folder each, or add --mixed"),
        (spoil_spacing, "x: PixelSpacing missing"),
    ],
)
def test_nothing_is_dropped_in_silence(tmp_path, spoil, words):
    write_series(tmp_path / "in", slices=3)
    spoil(tmp_path / "in")
    with pytest.raises(InputError, match=words) as caught:
        harmonized(tmp_path / "in", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
