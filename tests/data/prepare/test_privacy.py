import csv
import stat

import pytest
from dicom_files import SECRETS, ct_slice, save, truncate, uid, write_series
from prepared import contents, prepared

from jaxharmo.data.prepare.workers import Job
from jaxharmo.errors import InputError


def test_neither_patient_nor_identifiers_are_written_or_reported(tmp_path, capfd, caplog):
    source, destination = tmp_path / "in", tmp_path / "out"
    paths = write_series(source, slices=10, ContrastBolusAgent=SECRETS[0], step=2.0)
    write_series(source, slices=10, series="other", kernel="B70f", step=2.0)
    save(ct_slice(19, ImageType=[SECRETS[0]], RescaleType=SECRETS[0][:16]), source / "odd")
    save(ct_slice(18, PixelSpacing=None, StudyID=SECRETS[1]), source / "none")
    save(ct_slice(21, SliceThickness=1), source / "far")
    truncate(paths[1], 600)
    truncate(paths[2], -100)
    _, lines = prepared(source, destination, crop="body", spacing=1.0)
    forbidden = [*SECRETS, *(uid(SECRETS[1], "study", "series", index) for index in range(10))]
    forbidden += [uid(SECRETS[1], "study"), uid(SECRETS[1], "study", "series"), str(tmp_path)]
    forbidden += [uid(SECRETS[1], "study", "frame"), "120000.5", "19991231", "Thorax"]
    text = b"\n".join(contents(destination).values())
    assert not [secret for secret in forbidden if secret.encode() in text]
    said = capfd.readouterr()
    everything = "\n".join([*lines, *said, caplog.text])
    assert not [secret for secret in forbidden if secret in everything.replace(str(tmp_path), "")]
    assert said.err == ""


def test_work_in_progress_holds_digests_only(tmp_path):
    write_series(tmp_path / "in", slices=4)
    truncate(write_series(tmp_path / "in", slices=2, series="cut")[0], -100)
    prepared(tmp_path / "in", tmp_path / "out", job=Job(workers=1, part="1/2"))
    text = b"\n".join(contents(tmp_path / "out").values())
    assert not [secret for secret in SECRETS if secret.encode() in text]
    assert uid(SECRETS[1], "study").encode() not in text


def test_a_key_only_where_it_is_asked_for(tmp_path):
    source = tmp_path / "in"
    for patient in ("doe", "roe"):
        write_series(source / patient, slices=3, patient=patient)
    write_series(source, slices=3, patient="roe", series="sharp", kernel="B70f")
    plain, _ = prepared(source, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    key = tmp_path / "keys" / "key.csv"
    for _ in range(2):
        manifest, _ = prepared(source, tmp_path / "out", key_file=key)
        assert manifest == plain
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        with key.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["series"] for row in rows} == set(manifest.series)
        patients = {row["PatientID"]: row["patient"] for row in rows}
        assert sorted(patients) == ["doe", "roe"]
        assert sorted(patients.values()) == ["P0001", "P0002"]
        sharp = uid("roe", "study", "sharp")
        (row,) = [row for row in rows if row["SeriesInstanceUID"] == sharp]
        assert manifest.series[row["series"]].kernel == "B70f"
        key.unlink()


@pytest.mark.parametrize("place", ["in/key.csv", "out/key.csv"])
def test_the_key_does_not_lie_with_the_data(tmp_path, place):
    write_series(tmp_path / "in", slices=3)
    with pytest.raises(InputError, match=r"lies in the input folder|keep the key elsewhere"):
        prepared(tmp_path / "in", tmp_path / "out", key_file=tmp_path / place)


def test_no_spreadsheet_runs_what_a_file_says(tmp_path):
    source = tmp_path / "in"
    formula = '=HYPERLINK("http://x")'
    write_series(source, slices=3, patient=formula, Manufacturer="@SUM(A1)", step=2.0)
    save(ct_slice(9, patient=formula, Manufacturer="@SUM(A1)"), source / "far")
    (source / "=cmd()").write_text("no image")
    (source / "-1+1.dcm").write_text("no image")
    prepared(source, tmp_path / "out", key_file=tmp_path / "key.csv")
    cells = []
    for path in (*(tmp_path / "out").glob("*.csv"), tmp_path / "key.csv"):
        with path.open(newline="") as file:
            cells += [cell for row in csv.reader(file) for cell in row]
    assert {"'=cmd()", "'-1+1.dcm", f"'{formula}"} <= set(cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
