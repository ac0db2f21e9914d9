import re

import pytest
from dicom_files import SECRETS, ct_slice, save, write_series
from harmonized import harmonized
from test_nifti import image

from jaxharmo.cli import parse
from jaxharmo.errors import InputError


def view(*words):
    parse(["view", *map(str, words)]).run()


def write_apart(folder):
    for index in range(3):
        place = [-24, -24, 100 + index]
        save(ct_slice(index, ImagePositionPatient=place), folder / str(index))


def test_a_page_of_a_series_and_its_result_without_a_name(tmp_path, capsys):
    source, result = tmp_path / SECRETS[0], tmp_path / "result"
    write_series(source, slices=5)
    harmonized(source, result)
    out = tmp_path / "new" / "page.html"
    view(source, result, "--out", out, "--slices", 3)
    said = capsys.readouterr()
    assert f"{out}: 3 slices, " in said.out
    # harmonization.json, which lies beside the slices, is not reported as a file that is no DICOM.
    assert "left out" not in said.err
    page = out.read_text()
    assert not any(secret in page for secret in SECRETS)
    assert str(tmp_path) not in page
    # What the translation did: 10.4 HU more, in whole HU.
    assert "3 slices of 5; mean change +10.0 HU, root\nmean square 10.0 HU" in page
    assert page.count("SIEMENS Sensation 16 -- B30f") == 1
    assert "at 0.0 mm" in page
    assert "at 10.0 mm" in page
    assert page.count("data:image/webp;base64,") == 3


def test_names_from_headers_are_escaped(tmp_path):
    for name in "ab":
        write_series(tmp_path / name, slices=2, series=name, kernel=f"<b>{name}</b>")
    view(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;b" in page.lower()
    assert "<b>" not in page


def test_slices_are_matched_by_their_position(tmp_path):
    write_series(tmp_path / "a", slices=6)
    write_series(tmp_path / "b", slices=6, kernel="B70f")
    for path in sorted((tmp_path / "b").iterdir())[:2]:
        path.unlink()
    view(tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "4 slices of 6; mean change +0.0 HU, root\nmean square 0.0 HU" in page


def test_images_without_positions_are_matched_by_number(tmp_path):
    source, result = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    image(source)
    harmonized(source, result)
    view(source, result, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    captions = re.findall(r"number \d", page)
    assert captions == [f"number {number}" for number in range(1, 8)]


@pytest.mark.parametrize(
    ("prepare", "words", "reason"),
    [
        (lambda at: None, [], "none: not a folder"),
        (lambda at: write_apart(at / "none"), [], "no slice at a position"),
        (lambda at: write_series(at / "none", slices=3, size=32), [], "slices of 32 × 32 pixels"),
        (lambda at: write_series(at / "none", slices=3, spacing=0.5), [], "pixels of 0.5 mm"),
        (lambda at: image(at / "none" / "x.nii", zooms=(2.5, 0.75, 0.75)), [], "7 slices, but 3"),
        (lambda at: write_series(at / "none", slices=3), ["--slices", 0], "must be 1 or more"),
        (lambda at: write_series(at / "none", slices=3), ["--out", "."], "a folder; name the page"),
    ],
)
def test_wrong_use_names_the_mend_and_writes_nothing(tmp_path, monkeypatch, prepare, words, reason):
    monkeypatch.chdir(tmp_path)
    write_series(tmp_path / "a", slices=3)
    prepare(tmp_path)
    with pytest.raises(InputError, match=reason):
        view(tmp_path / "a", tmp_path / "none", *words)
    assert not list(tmp_path.glob("*.html*"))


def test_what_was_harmonized_is_taken_only_to_be_looked_at(tmp_path):
    write_series(tmp_path / "a", slices=2)
    harmonized(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="not harmonized again"):
        harmonized(tmp_path / "b", tmp_path / "c")
    assert not (tmp_path / "c").exists()
