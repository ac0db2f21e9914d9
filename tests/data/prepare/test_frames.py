import numpy as np
import pytest
from dicom_files import ct_slice, hounsfield, save, truncate, write_series
from prepared import all_slices, prepared, skipped_files
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, RLELossless

from jaxharmo.data.prepare.headers import read_header

COUNT = 6


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def enhanced(order=range(COUNT), types=("ORIGINAL",) * COUNT, **tags):
    """An enhanced CT image whose frames are the slices of ``ct_slice`` in this order."""
    dataset = ct_slice(0, **({"SOPClassUID": EnhancedCTImageStorage} | tags))
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
        "RescaleSlope", "RescaleIntercept", "ConvolutionKernel", "AcquisitionTime",
    ):  # fmt: skip
        delattr(dataset, keyword)
    dataset.NumberOfFrames = len(order)
    dataset.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=item(PixelSpacing=[0.75, 0.75], SliceThickness=5),
        CTReconstructionSequence=item(ConvolutionKernel="B30f"),
        CTXRayDetailsSequence=item(KVP=120),
        CTExposureSequence=item(ExposureInmAs=99.5),
        ContrastBolusUsageSequence=item(ContrastBolusAgentAdministered="NO"),
    )
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                PlanePositionSequence=item(ImagePositionPatient=[-24, -24, 2.5 * index]),
                # Every frame is scaled in its own way.
                PixelValueTransformationSequence=item(
                    RescaleSlope=1, RescaleIntercept=-1024 - index, RescaleType="HU"
                ),
                CTImageFrameTypeSequence=item(FrameType=[kind, "PRIMARY", "VOLUME"]),
            )[0]
            for index, kind in zip(order, types, strict=True)
        ]
    )
    stored = [hounsfield(index) + np.int16(1024 + index) for index in order]
    dataset.PixelData = np.stack(stored).astype("<i2").tobytes()
    return dataset


@pytest.mark.parametrize("syntax", [None, RLELossless])
def test_frames_are_slices(tmp_path, syntax):
    dataset = enhanced(order=[3, 0, 5, 1, 4, 2])
    path = save(dataset, tmp_path / "in" / "enhanced")
    if syntax:
        dataset.compress(syntax)
        dataset.save_as(path)
    assert read_header(path, "x").reason == "not a CT image but Enhanced CT Image Storage"
    manifest, _ = prepared(path.parent, tmp_path / "out")
    assert skipped_files(tmp_path / "out") == {}
    found = [each for _, each in all_slices(tmp_path / "out", manifest)]
    assert [each.header.position for each in found] == [2.5 * index for index in range(COUNT)]
    for index, each in enumerate(found):
        np.testing.assert_array_equal(each.pixels, hounsfield(index))
    (acquisition,) = manifest.series.values()
    assert (acquisition.kvp, acquisition.exposure, acquisition.kernel) == (120.0, 99.5, "B30f")
    assert (acquisition.contrast, acquisition.slice_thickness) == (False, 5.0)


def test_frames_that_are_of_no_use_are_named(tmp_path):
    types = ["ORIGINAL", "DERIVED", "ORIGINAL", "ORIGINAL", "ORIGINAL", "ORIGINAL"]
    dataset = enhanced(types=types)
    group = dataset.PerFrameFunctionalGroupsSequence[4].PlanePositionSequence[0]
    group.ImagePositionPatient = [-24, -24, 2.5]
    del dataset.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence
    save(dataset, tmp_path / "in" / "enhanced")
    save(enhanced(types=["DERIVED"] * COUNT, series="all"), tmp_path / "in" / "derived")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    assert skipped_files(tmp_path / "out") == {
        "derived": "derived image (ImageType DERIVED)",
        "enhanced frame 2": "derived image (ImageType DERIVED)",
        "enhanced frame 6": "ImagePositionPatient missing or not 3 numbers",
    }
    assert sum(manifest.domains[0].slices.values()) == 4


def test_a_cut_file_does_not_stop_the_others(tmp_path):
    write_series(tmp_path / "in", slices=3)
    truncate(save(enhanced(series="cut"), tmp_path / "in" / "cut"), -5000)
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    assert sum(manifest.domains[0].slices.values()) >= 3
    assert set(skipped_files(tmp_path / "out").values()) == {
        "pixel data missing or cannot be decoded"
    }


@pytest.mark.parametrize("count", [0, 3, 10**9])
def test_frames_that_are_not_there(tmp_path, count):
    write_series(tmp_path / "in", slices=3)
    dataset = enhanced(series="odd")
    dataset.NumberOfFrames = count
    dataset.add(DataElement("StudyID", "SH", "x"))
    save(dataset, tmp_path / "in" / "odd")
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out")
    assert sum(manifest.domains[0].slices.values()) == 3 + (count if count == 3 else 0)
