import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from dicom_files import SECRETS, ct_slice, hounsfield, save, truncate, uid, write_series
from prepared import all_slices, contents, prepared, skipped_files
from pydicom.encaps import encapsulate
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, MRImageStorage

from jaxharmo.cli import main
from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.prepare import headers, reading
from jaxharmo.data.prepare.collection import SKIPPED_NAME
from jaxharmo.errors import InputError

DOMAIN = "SIEMENS Sensation 16 -- B30f"


def test_what_is_written_reads_back(tmp_path):
    source, destination = tmp_path / "in", tmp_path / "out"
    write_series(source, slices=10, padded=True, step=-2.5)
    manifest, lines = prepared(source, destination)
    assert read_manifest(destination) == manifest
    assert manifest.window == (-1024.0, 3071.0)
    assert [domain.name for domain in manifest.domains] == [DOMAIN]
    assert manifest.domains[0].slices == {"train": 7, "validation": 1, "test": 2}
    assert "10 slices, 1 domains" in lines[-1]
    found = [item for _, item in all_slices(destination, manifest)]
    assert [item.header.position for item in found] == [-22.5 + 2.5 * index for index in range(10)]
    for index, item in enumerate(reversed(found)):
        expected = hounsfield(index)
        expected[:4] = -1024
        np.testing.assert_array_equal(item.pixels, expected)
        assert item.header.body == (17, 21, 48, 52)
        assert item.header.spacing == (0.75, 0.75)
        assert (item.header.patient, item.header.series) == ("P0001", "S0001")
    assert (destination / SKIPPED_NAME).read_text() == "file,reason\n"


REASONS = {
    "derived": ({"ImageType": ["DERIVED", "SECONDARY"]}, "derived image (ImageType DERIVED)"),
    "flat": ({"RescaleSlope": 0}, "RescaleSlope is 0"),
    "frames": ({"NumberOfFrames": 2}, "several frames in one file"),
    "huge": ({"Rows": 60000}, "Rows, Columns or PixelSpacing out of range"),
    "kernel": ({"ConvolutionKernel": None}, "ConvolutionKernel missing"),
    "mr": ({"SOPClassUID": MRImageStorage}, "not a CT image but MR Image Storage"),
    "nobody": ({"SeriesInstanceUID": None}, "SeriesInstanceUID missing"),
    "nowhere": (
        {"ImagePositionPatient": None},
        "ImagePositionPatient missing or not 3 numbers",
    ),
    "scout": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    "skewed": (
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        "ImageOrientationPatient is not two perpendicular directions",
    ),
    "twin": (
        {"SOPInstanceUID": uid(SECRETS[1], "study", "series", 0)},
        "SOPInstanceUID of another file",
    ),
    "units": ({"RescaleType": "OD"}, "RescaleType is not HU"),
}


def test_every_file_not_used_has_its_reason(tmp_path):
    source, destination = tmp_path / "in", tmp_path / "out"
    good = write_series(source, slices=9)
    expected = {f"x/{name}": reason for name, (_, reason) in REASONS.items()}
    for name, (tags, _) in REASONS.items():
        save(ct_slice(99, **tags), source / "x" / name)

    truncate(good[4], -5000)
    truncate(save(ct_slice(97), source / "x" / "short"), 700)
    (source / "x" / "text.dcm").write_text("no image\n")
    (source / "x" / "empty").touch()
    expected |= {
        good[4].name: "truncated pixel data",
        "x/short": "ImagePositionPatient missing or not 3 numbers",
        "x/text.dcm": "not a DICOM file",
        "x/empty": "not a DICOM file",
    }
    manifest, _ = prepared(source, destination)
    assert skipped_files(destination) == expected
    assert sum(manifest.domains[0].slices.values()) == 8


def test_compression_without_a_decoder(tmp_path, monkeypatch):
    packed = ct_slice(98)
    packed.PixelData = encapsulate([b"nothing"])
    path = save(packed, tmp_path / "packed", JPEGLSLossless)
    missing = SimpleNamespace(is_available=False)
    monkeypatch.setattr(reading, "get_decoder", lambda uid: missing)
    monkeypatch.setattr(headers, "undecodable", reading.undecodable.__wrapped__)
    reason = 'compressed; pip install "jaxharmo[dicom]" to decode it'
    assert headers.read_header(path, "packed").reason == reason


def test_of_two_slices_at_one_position_one_is_used(tmp_path):
    write_series(tmp_path / "in", slices=4)
    save(ct_slice(1, SOPInstanceUID="1.2.3"), tmp_path / "in" / "again")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    assert sum(manifest.domains[0].slices.values()) == 4
    assert set(skipped_files(tmp_path / "out").values()) == {
        "another slice of the series at its position"
    }


def test_hostile_header_values_do_no_harm(tmp_path):
    tags = {"Manufacturer": "../../<script>", "ManufacturerModelName": "a\x1bb", "PatientID": ""}
    write_series(tmp_path / "in", syntax=ImplicitVRLittleEndian, kernel="..", **tags)
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    assert manifest.domains[0].name == "../../<script> ab -- .."
    assert manifest.domains[0].slug == "script-ab"
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside == {"in", "out"}


def test_the_result_depends_on_neither_names_nor_order(tmp_path):
    for number in range(4):
        options = {"patient": f"patient {number}", "series": f"s{number}"}
        for path in write_series(tmp_path / "a", **options):
            other = tmp_path / "b" / f"{number}" / path.name[::-1]
            other.parent.mkdir(parents=True, exist_ok=True)
            other.write_bytes(path.read_bytes())
    results = [prepared(tmp_path / name, tmp_path / f"out-{name}")[0] for name in "ab"]
    assert results[0].patients == results[1].patients
    slices = [
        [item.header for _, item in all_slices(tmp_path / f"out-{name}", result)]
        for name, result in zip("ab", results, strict=True)
    ]
    assert slices[0] == slices[1]


def test_bad_input_is_one_clear_line(tmp_path):
    source = tmp_path / "in"
    write_series(source)
    texts = tmp_path / "texts"
    texts.mkdir()
    (tmp_path / "none").mkdir()
    (texts / "notes").write_text("no image")
    finished = tmp_path / "finished"
    prepared(source, finished)
    write_series(tmp_path / "other", series="other")
    truncated = write_series(tmp_path / "cut", slices=1)
    truncate(truncated[0], -5000)
    for args, words in [
        ((tmp_path / "gone", tmp_path / "o"), "gone: not a folder"),
        ((texts / "notes", tmp_path / "o"), "notes: not a folder"),
        ((tmp_path / "none", tmp_path / "o"), "none: no files in it"),
        ((texts, tmp_path / "o"), "no usable CT slice in 1 files; 1 of them: not a DICOM file"),
        ((tmp_path / "cut", tmp_path / "cut-out"), "no CT slice could be used in 1 files; 1 of"),
        ((source, source / "shards"), "lies in the input folder"),
        ((source, texts), "not empty and no shard set"),
        ((source, texts / "notes"), "a file; name a new"),
        ((tmp_path / "other", finished), "made from other files or settings"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            prepared(*args)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="made from other files or settings"):
        prepared(source, finished, window=(-1024.0, 400.0))
    with pytest.raises(InputError, match="must rise"):
        prepared(source, tmp_path / "o", window=(400.0, -1024.0))
    assert not (tmp_path / "o").exists()


def test_real_ct(real_ct, tmp_path):
    manifest, _ = prepared(real_ct, tmp_path / "out")
    assert manifest.domain_names == (
        "GE MEDICAL SYSTEMS LightSpeed Plus -- STANDARD",
        "GE MEDICAL SYSTEMS LightSpeed VCT -- LUNG",
        "Philips Brilliance16 -- B",
        "Philips Brilliance16 -- L",
        "SIEMENS Sensation 10 -- B40f",
        "SIEMENS Sensation 10 -- B70f",
    )
    assert manifest.paired == (
        ("Philips Brilliance16 -- B", "Philips Brilliance16 -- L"),
        ("SIEMENS Sensation 10 -- B40f", "SIEMENS Sensation 10 -- B70f"),
    )
    found = all_slices(tmp_path / "out", manifest)
    assert len(found) == 108
    assert {item.header.patient for _, item in found} == {"P0001", "P0002", "P0003", "P0004"}
    assert min(item.pixels.min() for _, item in found) == -1024
    contrast = {each.model: each.contrast for each in manifest.series.values()}
    assert contrast["LightSpeed VCT"]
    assert not contrast["Brilliance16"]
    # Neither the collection's names nor anything that looks like an identifier.
    text = b"\n".join(contents(tmp_path / "out").values())
    for secret in (b"Lung_Dx", b"A0001", b"MSB-01068", b"LIDC-IDRI-0001", b"1.3.6.1.4.1.14519"):
        assert secret not in text
    assert not re.search(rb"\d+(\.\d+){5,}", text)


def test_strict_turns_skips_into_a_failure(tmp_path, monkeypatch, capsys):
    write_series(tmp_path / "in", slices=3, SliceThickness=9)
    write_series(tmp_path / "in", slices=3, series="thin", SliceThickness=1)

    def run(destination):
        options = ["--slice-thickness", "0", "5", "--workers", "1", "--strict"]
        command = ["jaxharmo", "prepare", str(tmp_path / "in"), str(destination), *options]
        monkeypatch.setattr(sys, "argv", command)
        try:
            main()
        except SystemExit as end:
            return end.code
        return 0

    assert run(tmp_path / "out") == 0
    (tmp_path / "in" / "text.dcm").write_text("no image")
    for _ in range(2):
        assert run(tmp_path / "again") == 1
        assert "1 files not used, see" in capsys.readouterr().err
        assert (tmp_path / "again" / "dataset.json").exists()
