"""Small synthetic CT series as DICOM files, sound or broken as a test wishes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from jaxharmo.data.prepare.elements import quiet

PADDING = -2000
SECRETS = ("DOE^JANE", "HOSPITAL-4711", "19991231")
"""Name, ID and date of the patient in every file: nowhere to be found in what is prepared."""


def uid(*parts: object) -> UID:
    """The same parts always give the same identifier."""
    return generate_uid(entropy_srcs=[repr(part) for part in parts])


def hounsfield(index: int, size: int = 64) -> np.ndarray:
    """A disc of soft tissue in air, a little brighter in every slice; HU, int16."""
    row, column = np.mgrid[:size, :size]
    disc = np.hypot(row - size / 2, column - size / 2 - 4) < size / 4
    return np.where(disc, 40 + index, -1000).astype(np.int16)


def ct_slice(
    index: int,
    *,
    patient: str = SECRETS[1],
    study: str = "study",
    series: str = "series",
    kernel: str | Sequence[str] = "B30f",
    padded: bool = False,
    spacing: float = 0.75,
    step: float = 2.5,
    size: int = 64,
    **tags: object,
) -> Dataset:
    """One slice; ``tags`` overrides elements by keyword, ``None`` removes one."""
    pixels = hounsfield(index, size) + np.int16(1024)
    if padded:
        pixels[:4] = PADDING
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": uid(patient, study, series, index),
        "StudyInstanceUID": uid(patient, study),
        "SeriesInstanceUID": uid(patient, study, series),
        "FrameOfReferenceUID": uid(patient, study, "frame"),
        "PatientName": SECRETS[0],
        "PatientID": patient,
        "StudyDate": SECRETS[2],
        "AcquisitionDate": SECRETS[2],
        "AcquisitionTime": "120000.5",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Manufacturer": "SIEMENS",
        "ManufacturerModelName": "Sensation 16",
        "ConvolutionKernel": kernel,
        "SeriesNumber": 2,
        "SeriesDescription": "Thorax",
        "InstanceNumber": 100 - index,
        "PixelSpacing": [spacing, spacing],
        "SliceThickness": 5,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-24, -24, step * index],
        "Rows": size,
        "Columns": size,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    }
    dataset = Dataset()
    with quiet():
        for keyword, value in (values | tags).items():
            if value is not None:
                setattr(dataset, keyword, value)
    if padded:
        # As GE scanners write it: the unsigned view of the signed value.
        dataset.add(DataElement("PixelPaddingValue", "US", PADDING + 2**16))
    dataset.add(DataElement("PixelData", "OW", pixels.astype("<i2").tobytes()))
    return dataset


def save(dataset: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """Write one file with its meta information."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    dataset.file_meta.TransferSyntaxUID = syntax
    with quiet():
        dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    *,
    slices: int = 6,
    syntax: UID = ExplicitVRLittleEndian,
    **options: Any,
) -> list[Path]:
    """A series in files whose names are in no order; returned by position."""
    order = np.random.default_rng(slices).permutation(slices)
    stem = str(options.get("series", "series"))
    return [
        save(ct_slice(index, **options), folder / f"{stem}-{order[index]}", syntax)
        for index in range(slices)
    ]


def truncate(path: Path, size: int) -> None:
    """Cut a file to its first ``size`` bytes, or by the last ``-size``."""
    path.write_bytes(path.read_bytes()[:size])
