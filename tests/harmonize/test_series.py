import dataclasses
import errno
import json
from datetime import datetime

import numpy as np
import pydicom
import pytest
from chest import chest
from dicom_files import PADDING, SECRETS, ct_slice, hounsfield, save, write_series
from harmonized import BATCH, DIGEST, TO, harmonized, method, outputs, same
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
)

from jaxharmo.data.manifest import slugify
from jaxharmo.errors import InputError
from jaxharmo.files import PARTIAL_SUFFIX
from jaxharmo.harmonize.batch import harmonize
from jaxharmo.harmonize.series import SIDECAR
from jaxharmo.harmonize.textures import Textures, describe


def test_the_derived_series(tmp_path):
    paths = write_series(tmp_path / "in", slices=BATCH + 3)
    assert harmonized(tmp_path / "in", tmp_path / "out")[0] == 1
    count = len(paths)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        SIDECAR,
        *(f"slice-{number:04d}.dcm" for number in range(1, count + 1)),
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
            "StudyDate",
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
    sidecar = json.loads((tmp_path / "out" / SIDECAR).read_text())
    assert (sidecar["from"], sidecar["to"]) == ("SIEMENS Sensation 16 -- B30f", TO)
    assert (sidecar["sha256"], sidecar["slices"], sidecar["warnings"]) == (DIGEST, count, [])
    assert sidecar["quality"]["shift_hu"]["soft tissue"] == pytest.approx(10.4, abs=0.01)
    assert sidecar["quality"]["flicker_hu"] == 0


def test_a_texture_far_from_all_domains_is_warned_of(tmp_path):
    for name, noise in (("near", 12.0), ("far", 60.0)):
        hu = chest(160, noise)[0]
        dataset = ct_slice(0, Rows=160, Columns=160)
        dataset.PixelData = (hu + 1024).astype("<i2").tobytes()
        save(dataset, tmp_path / name / "in" / "x")
        known = describe([chest(160, 12.0)[0]], [0.75], (-1024.0, 400.0))
        textures = Textures(window=(-1024.0, 400.0), domains={TO: known})
        usual = dataclasses.replace(method(), textures=textures)
        harmonize(tmp_path / name / "in", tmp_path / name / "out", [usual], report=str)
        about = json.loads((tmp_path / name / "out" / SIDECAR).read_text())
        warned = [text for text in about["warnings"] if "out of distribution" in text]
        assert bool(warned) == (name == "far")
        assert about["quality"]["texture"]["nearest"] == TO


def test_two_runs_give_the_same_bytes(tmp_path):
    write_series(tmp_path / "in", slices=3)
    for name in ("a", "b"):
        harmonized(tmp_path / "in", tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_dates_and_the_kernel_are_set_on_demand(tmp_path):
    write_series(tmp_path / "in", slices=1, InstanceCreationDate="20010101")
    date = datetime(2026, 11, 25, 13, 5)
    harmonized(tmp_path / "in", tmp_path / "set", kernel_tag=True, date=date, to="A B -- Br40d/3")
    (dataset,) = outputs(tmp_path / "set")
    assert dataset.ConvolutionKernel == ["Br40d", "3"]
    assert (dataset.SeriesDate, dataset.InstanceCreationTime) == ("20261125", "130500")
    assert dataset.StudyDate == SECRETS[2]
    harmonized(tmp_path / "in", tmp_path / "plain")
    (plain,) = outputs(tmp_path / "plain")
    assert plain.ConvolutionKernel == "B30f"
    assert "InstanceCreationDate" not in plain
    assert "SeriesDate" not in plain


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
    harmonized(tmp_path / "in", tmp_path / "out", lambda hu: hu * 1e6)
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
        "style": {"style": "seed 3"},
        "precision": {"precision": "bfloat16"},
        "kernel": {"kernel_tag": True},
        "date": {"date": datetime(2026, 11, 25)},
    }.items():
        harmonized(tmp_path / "in", tmp_path / name, same, **options)
        identifiers[name] = {
            (dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
            for dataset in outputs(tmp_path / name)
        }
    assert identifiers["first"] == identifiers["again"]
    assert len(set.union(*identifiers.values())) == 2 * 7


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
    _, lines = harmonized(tmp_path / "in", tmp_path / "out", same, to=to)
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
    _, (line,) = harmonized(tmp_path / "in", tmp_path / "out", translate=None)
    assert "already done" in line
    assert [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())] == before
    with pytest.raises(InputError, match="not empty"):
        harmonized(tmp_path / "in", tmp_path / "out", digest="f" * 64)


def test_a_stopped_run_leaves_nothing_and_can_be_repeated(tmp_path):
    write_series(tmp_path / "in", slices=BATCH + 1)
    leftover = tmp_path / f"out{PARTIAL_SUFFIX}"
    leftover.mkdir()
    (leftover / "slice-0099.dcm").touch()

    def stop(hu):
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
    for result in (lambda hu: hu * np.nan, lambda hu: hu[..., :-1]):
        with pytest.raises(FloatingPointError, match="no finite image"):
            harmonized(tmp_path / "in", tmp_path / "out", result)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_gaps_and_files_left_out_are_reported(tmp_path):
    paths = write_series(tmp_path / "in", slices=8)
    paths[4].unlink()
    save(ct_slice(9, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "in" / "scout")
    _, lines = harmonized(tmp_path / "in", tmp_path / "out")
    assert len(outputs(tmp_path / "out")) == 7
    assert lines[0] == "left out: 1 × localizer"
    assert lines[-1] == "  warning: up to 5 mm between slices, 2.5 mm mostly"
    assert "up to 5 mm" in (tmp_path / "out" / SIDECAR).read_text()


def test_a_full_disk_leaves_nothing_and_loses_nothing(tmp_path, monkeypatch):
    write_series(tmp_path / "in" / "a", slices=2, series="a")
    write_series(tmp_path / "in" / "b", slices=5, series="b")
    write, written = pydicom.dcmwrite, []

    def full(path, *args, **options):
        written.append(path)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *args, **options)

    monkeypatch.setattr(pydicom, "dcmwrite", full)
    with pytest.raises(OSError, match="No space left"):
        harmonized(tmp_path / "in", tmp_path / "out")
    assert len(outputs(tmp_path / "out" / "a" / slugify(TO))) == 2
    assert not list((tmp_path / "out" / "b").iterdir())
    monkeypatch.undo()
    harmonized(tmp_path / "in", tmp_path / "out")
    assert len(outputs(tmp_path / "out" / "b" / slugify(TO))) == 5


def test_one_slice_and_odd_sizes(tmp_path):
    for rows, columns in ((101, 99), (34, 512)):
        pixels = np.arange(rows * columns).reshape(rows, columns) % 1400
        dataset = ct_slice(0, Rows=rows, Columns=columns)
        dataset.PixelData = pixels.astype("<i2").tobytes()
        save(dataset, tmp_path / str(rows) / "in" / "x")
        harmonized(tmp_path / str(rows) / "in", tmp_path / str(rows) / "out")
        (derived,) = outputs(tmp_path / str(rows) / "out")
        np.testing.assert_array_equal(derived.pixel_array, pixels - 1024 + 10)


def test_a_harmonized_series_is_refused(tmp_path):
    write_series(tmp_path / "in", slices=2)
    harmonized(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="not harmonized again; give the original"):
        harmonized(tmp_path / "out", tmp_path / "twice")


def test_bad_input_is_one_clear_line(tmp_path):
    source = tmp_path / "in"
    write_series(source, slices=1)
    save(ct_slice(0, SOPClassUID=MRImageStorage), tmp_path / "mr" / "a")
    pet = ct_slice(0, SOPClassUID=PositronEmissionTomographyImageStorage, Modality="PT")
    save(pet, tmp_path / "pet" / "a")
    (tmp_path / "file").touch()
    for args, words in [
        ((tmp_path / "gone", tmp_path / "out"), "gone: not a folder"),
        ((tmp_path / "mr", tmp_path / "out"), "no CT slice in it .a: not a CT image but MR"),
        ((tmp_path / "pet", tmp_path / "out"), "no CT slice in it .a: not a CT image but Positron"),
        ((tmp_path / "file", tmp_path / "out"), "neither a NIfTI image nor a folder"),
        ((source, tmp_path / "file" / "out"), "file: cannot be made a folder"),
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
    harmonized(source, tmp_path / "out")
    before = {
        tuple(dataset.ImagePositionPatient): dataset.pixel_array - 1024
        for dataset in map(pydicom.dcmread, source.iterdir())
    }
    for dataset in outputs(tmp_path / "out"):
        hu = before.pop(tuple(dataset.ImagePositionPatient))
        expected = np.where(hu < -1024, hu, np.rint(hu + np.float32(10.4)))
        np.testing.assert_array_equal(dataset.pixel_array, expected)
    assert not before
