import numpy as np
import pydicom
import pytest
from dicom_files import PADDING, SECRETS, ct_slice, hounsfield, save, truncate, uid, write_series
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
)

from jaxharmo.errors import InputError
from jaxharmo.harmonize.series import BATCH, PARTIAL_SUFFIX, harmonize_series

TO = "GE MEDICAL SYSTEMS LightSpeed VCT -- LUNG"
DIGEST = "0123456789abcdef" * 4


def brighter(hu, to):
    assert hu.dtype == np.float32
    assert hu.ndim == 3
    assert len(hu) <= BATCH
    assert hu.min() >= -1024
    assert to == TO
    return hu + np.float32(10.4)


def harmonized(source, destination, translate=brighter, digest=DIGEST, to=TO):
    lines = []
    count = harmonize_series(
        translate, to, source, destination, model="demo", digest=digest, report=lines.append
    )
    return count, lines


def outputs(destination):
    return [pydicom.dcmread(path) for path in sorted(destination.iterdir())]


def test_the_derived_series(tmp_path):
    paths = write_series(tmp_path / "in", slices=BATCH + 3)
    count, lines = harmonized(tmp_path / "in", tmp_path / "out")
    assert count == len(paths)
    assert lines[-1].endswith(f"{count} slices, SIEMENS Sensation 16 -- B30f to {TO}")
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        f"slice-{number:04d}.dcm" for number in range(1, count + 1)
    ]
    derived = outputs(tmp_path / "out")
    assert len({dataset.SeriesInstanceUID for dataset in derived}) == 1
    assert len({dataset.SOPInstanceUID for dataset in derived}) == count
    for index, (path, dataset) in enumerate(zip(paths, derived, strict=True)):
        source = pydicom.dcmread(path)
        for keyword in (
            "SOPClassUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName",
            "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
            "ConvolutionKernel", "AcquisitionTime", "InstanceNumber", "ManufacturerModelName",
        ):  # fmt: skip
            assert dataset[keyword] == source[keyword]
        assert dataset.SOPInstanceUID != source.SOPInstanceUID
        assert dataset.SeriesInstanceUID != source.SeriesInstanceUID
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        np.testing.assert_array_equal(dataset.pixel_array, hounsfield(index) + 10)
        assert dataset.pixel_array.dtype == np.int16
        assert (dataset.RescaleSlope, dataset.RescaleIntercept) == (1, 0)
        assert dataset.RescaleType == "HU"
        assert dataset.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
        assert dataset.SeriesNumber == 9002
        assert dataset.SeriesDescription == "Thorax harm->LUNG"
        for word in (DIGEST, "demo", "research use only", f"Sensation 16 -- B30f to {TO}"):
            assert word in dataset.DerivationDescription
        (image,) = dataset.SourceImageSequence
        assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert image.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        (equipment,) = dataset.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert "ManufacturerModelName" not in equipment


def test_padding_keeps_its_value(tmp_path):
    paths = write_series(tmp_path / "in", slices=2, padded=True)
    harmonized(tmp_path / "in", tmp_path / "out")
    for path, dataset in zip(paths, outputs(tmp_path / "out"), strict=True):
        source = pydicom.dcmread(path)
        before = source.pixel_array * source.RescaleSlope + source.RescaleIntercept
        np.testing.assert_array_equal(dataset.pixel_array[:4], before[:4])
        np.testing.assert_array_equal(dataset.pixel_array[4:], before[4:] + 10)
        assert dataset.PixelPaddingValue == PADDING - 1024
        assert dataset["PixelPaddingValue"].VR == "SS"


def test_results_are_clipped_to_the_range_of_the_pixels(tmp_path):
    write_series(tmp_path / "in", slices=1)
    harmonized(tmp_path / "in", tmp_path / "out", lambda hu, to: hu * 1e6)
    (dataset,) = outputs(tmp_path / "out")
    assert (dataset.pixel_array.min(), dataset.pixel_array.max()) == (-32768, 32767)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
def test_any_readable_transfer_syntax_will_do(tmp_path, syntax):
    for index in range(3):
        dataset = ct_slice(
            index,
            PatientPosition="FFS",
            ImageOrientationPatient=[-1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[24, -24, -2.5 * index],
            SmallestImagePixelValue=0,
        )
        path = save(dataset, tmp_path / "in" / str(index))
        if syntax == RLELossless:
            dataset.compress(RLELossless, generate_instance_uid=False)
            dataset.save_as(path, enforce_file_format=True)
        elif syntax == ExplicitVRBigEndian:
            dataset.PixelData = (hounsfield(index) + 1024).astype(">i2").tobytes()
            save(dataset, path, syntax)
        else:
            save(dataset, path, syntax)
    harmonized(tmp_path / "in", tmp_path / "out")
    derived = outputs(tmp_path / "out")
    assert [dataset.ImagePositionPatient[2] for dataset in derived] == [0, -2.5, -5]
    for index, dataset in enumerate(derived):
        np.testing.assert_array_equal(dataset.pixel_array, hounsfield(index) + 10)
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert "SmallestImagePixelValue" not in dataset


def test_identifiers_depend_on_source_model_and_target_only(tmp_path):
    write_series(tmp_path / "in", slices=2)
    identifiers = {}
    for name, options in {
        "first": {},
        "again": {},
        "model": {"digest": "f" * 64},
        "target": {"to": "B30f"},
    }.items():
        harmonized(tmp_path / "in", tmp_path / name, lambda hu, to: hu, **options)
        identifiers[name] = {
            (dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
            for dataset in outputs(tmp_path / name)
        }
    assert identifiers["first"] == identifiers["again"]
    assert len(set.union(*identifiers.values())) == 6


def test_odd_headers_are_carried_over(tmp_path):
    tags = {
        "SeriesNumber": None,
        "SeriesDescription": "Übersicht " * 10,
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": None,
        "ConvolutionKernel": None,
        "KVP": "120\\130",
        "StudyID": "../<b>\\\\",
        "PatientBirthDate": "unknown",
    }
    write_series(tmp_path / "in", slices=1, **tags)
    to = "東芝 Aquilion -- FC08\\3\0"
    _, lines = harmonized(tmp_path / "in", tmp_path / "out", lambda hu, to: hu, to=to)
    (dataset,) = outputs(tmp_path / "out")
    assert dataset.SeriesNumber == 9000
    assert len(dataset.SeriesDescription) <= 64
    assert dataset.SeriesDescription.endswith("Ü harm->FC08/3")
    assert dataset.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    assert "from unknown kernel to ?? Aquilion" in dataset.DerivationDescription
    assert not [secret for secret in SECRETS if secret in "".join(lines)]


def test_a_second_run_leaves_a_finished_output_alone(tmp_path):
    write_series(tmp_path / "in", slices=2)
    harmonized(tmp_path / "in", tmp_path / "out")
    before = [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())]
    count, (line,) = harmonized(tmp_path / "in", tmp_path / "out", translate=None)
    assert count == 2
    assert "already holds" in line
    assert [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())] == before
    with pytest.raises(InputError, match="not empty"):
        harmonized(tmp_path / "in", tmp_path / "out", digest="f" * 64)


def test_a_stopped_run_leaves_nothing_and_can_be_repeated(tmp_path):
    write_series(tmp_path / "in", slices=BATCH + 1)
    leftover = tmp_path / f"out{PARTIAL_SUFFIX}"
    leftover.mkdir()
    (leftover / "slice-0099.dcm").touch()

    def stop(hu, to):
        if len(hu) < BATCH:
            raise KeyboardInterrupt
        return hu

    with pytest.raises(KeyboardInterrupt):
        harmonized(tmp_path / "in", tmp_path / "out", stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    (tmp_path / "out").mkdir()
    harmonized(tmp_path / "in", tmp_path / "out")
    assert len(outputs(tmp_path / "out")) == BATCH + 1
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}


def test_a_model_that_fails_writes_nothing(tmp_path):
    write_series(tmp_path / "in", slices=1)
    for result in (lambda hu, to: hu * np.nan, lambda hu, to: hu[..., :-1]):
        with pytest.raises(FloatingPointError, match="no finite image"):
            harmonized(tmp_path / "in", tmp_path / "out", result)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_gaps_and_files_left_out_are_reported(tmp_path):
    paths = write_series(tmp_path / "in", slices=8)
    paths[4].unlink()
    save(ct_slice(9, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "in" / "scout")
    count, lines = harmonized(tmp_path / "in", tmp_path / "out")
    assert count == 7
    assert lines[0] == "left out: 1 × localizer"
    assert lines[1] == "warning: up to 5 mm between slices, 2.5 mm mostly"


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


def spoil_series(folder):
    write_series(folder / "second", series="second", slices=1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_text, "text.dcm: not a DICOM file; restore the file"),
        (spoil_header, "x: ImagePositionPatient missing"),
        (spoil_pixels, "x: truncated pixel data; no slice may be missing"),
        (spoil_place, "x: ImagePositionPatient missing"),
        (spoil_identity, "SOPInstanceUID of another file"),
        (spoil_series, r"holds 2 CT series \(in .*second.*\); name a folder with one"),
    ],
)
def test_nothing_is_dropped_in_silence(tmp_path, spoil, words):
    write_series(tmp_path / "in", slices=3)
    spoil(tmp_path / "in")
    with pytest.raises(InputError, match=words) as caught:
        harmonized(tmp_path / "in", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_harmonized_series_is_refused(tmp_path):
    write_series(tmp_path / "in", slices=2)
    harmonized(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="not harmonized again; give the original"):
        harmonized(tmp_path / "out", tmp_path / "twice")


def test_bad_input_is_one_clear_line(tmp_path):
    source = tmp_path / "in"
    write_series(source, slices=1)
    save(ct_slice(0, SOPClassUID=MRImageStorage), tmp_path / "mr" / "a")
    (tmp_path / "file").touch()
    for args, words in [
        ((tmp_path / "gone", tmp_path / "out"), "gone: not a folder"),
        ((tmp_path / "mr", tmp_path / "out"), "no CT slice in it .a: not a CT image but MR"),
        ((source, source), "must not lie in each other"),
        ((source, source / "out"), "must not lie in each other"),
        ((source, tmp_path), "must not lie in each other"),
        ((source, tmp_path / "mr"), "not empty, and not this series"),
        ((source, tmp_path / "file"), "a file; name a new"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            harmonized(*args)
        assert "\n" not in str(caught.value)


def test_real_ct(real_ct, tmp_path):
    source = real_ct / "cmb-crc" / "MSB-01068_GE-LightSpeedVCT_LUNG"
    assert harmonized(source, tmp_path / "out")[0] == 12
    before = {
        tuple(dataset.ImagePositionPatient): dataset.pixel_array - 1024
        for dataset in map(pydicom.dcmread, source.iterdir())
    }
    for dataset in outputs(tmp_path / "out"):
        hu = before.pop(tuple(dataset.ImagePositionPatient))
        expected = np.where(hu < -1024, hu, np.rint(hu + np.float32(10.4)))
        np.testing.assert_array_equal(dataset.pixel_array, expected)
    assert not before
