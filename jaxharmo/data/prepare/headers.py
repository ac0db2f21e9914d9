"""One DICOM header -> what may be known of a CT slice, or the reason why it is of no use.

Who the patient is stays in here: identifiers leave this module as SHA-256 digests only, and a
reason never quotes a header value.
"""

import contextlib
import dataclasses
import hashlib
import logging
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.pixels import get_decoder  # pyright: ignore[reportPrivateImportUsage]
from pydicom.uid import UID, CTImageStorage

from jaxharmo.data.prepare.domains import clean, domain_name

DERIVED = "derived image (ImageType DERIVED)"
MAX_SIDE = 4096
"""Rows or columns above this are no CT slice; a bound on what one file can make us allocate."""

_KEYWORDS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "PatientID", "ImageType", "Manufacturer", "ManufacturerModelName", "ConvolutionKernel",
    "Rows", "Columns", "PixelSpacing", "SliceThickness", "ImageOrientationPatient",
    "ImagePositionPatient", "NumberOfFrames", "SamplesPerPixel", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "AcquisitionDate", "AcquisitionTime", "AcquisitionNumber",
    "KVP",
]  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SliceFile:
    """A usable CT slice in a file; its pixels have not been looked at."""

    path: Path
    name: str
    """Path relative to the input folder."""
    instance: str
    """Digest of SOPInstanceUID."""
    series: str
    """Digest of what a series must share: SeriesInstanceUID, patient, domain, in-plane geometry."""
    patient: str
    """Digest of PatientID."""
    scan: str
    """Digest of study, frame of reference, tube voltage, slice thickness and in-plane geometry."""
    moment: str
    """Digest of the acquisition's date and time, else of its number; empty without either."""
    domain: str
    """Empty without ConvolutionKernel."""
    spacing: tuple[float, float]
    """Between rows and between columns, mm."""
    position: float
    """Of the slice along its normal, mm."""


@dataclasses.dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not used."""

    file: str
    """Path relative to the input folder."""
    reason: str
    lost: bool = False
    """It is, or may be, a slice of a CT series that is now incomplete."""


class _UnusableError(Exception):
    """Carries the reason, and whether a slice is lost with the file."""

    def __init__(self, reason: str, *, lost: bool = True):
        super().__init__(reason)
        self.reason, self.lost = reason, lost


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom, which warns of odd header values and quotes them, in its log as well."""
    log = logging.getLogger("pydicom")
    before = log.disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.disabled = True
        try:
            yield
        finally:
            log.disabled = before


def digest(*parts: object) -> str:
    """The first 128 bits of the SHA-256 of the parts, hexadecimal."""
    text = "\0".join(map(str, parts)).encode("utf-8", "backslashreplace")
    # Interned, as all slices of a series share most of theirs.
    return sys.intern(hashlib.sha256(text).hexdigest()[:32])


def read_header(path: Path, name: str) -> SliceFile | Skipped:
    """Read the header of ``path``, called ``name`` in reports; never raises for what is in it."""
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return Skipped(name, "not a DICOM file", lost=_should_be_dicom(path))
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
            return _slice_file(header, path, name)
    except _UnusableError as error:
        return Skipped(name, error.reason, error.lost)
    except OSError:
        return Skipped(name, "cannot be read", lost=True)
    except Exception:
        # Damaged bytes surface as almost any exception, whose text would quote them.
        return Skipped(name, "damaged header", lost=True)


def _slice_file(header: FileDataset, path: Path, name: str) -> SliceFile:
    _check_kind(header)
    position, orientation = _placement(header)
    rows, columns, *spacing = (
        *_numbers(header, "Rows", 1),
        *_numbers(header, "Columns", 1),
        *_numbers(header, "PixelSpacing", 2),
    )
    if not (1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE and min(spacing) > 0):
        raise _UnusableError("Rows, Columns or PixelSpacing out of range")
    if _numbers(header, "RescaleSlope", 1)[0] == 0:
        raise _UnusableError("RescaleSlope is 0")
    _numbers(header, "RescaleIntercept", 1)

    domain = domain_name(
        " ".join(_texts(header, "Manufacturer")),
        " ".join(_texts(header, "ManufacturerModelName")),
        _texts(header, "ConvolutionKernel"),
    )
    patient = digest("patient", *_texts(header, "PatientID"))
    frame = "".join(_texts(header, "FrameOfReferenceUID"))
    time = _texts(header, "AcquisitionTime")
    instant = [*_texts(header, "AcquisitionDate"), *time] if time else []
    instant = instant or _texts(header, "AcquisitionNumber")
    # Scanners write the same direction with different last digits in different slices.
    plane = (rows, columns, *np.round(spacing, 5), *np.round(orientation, 4) + 0.0)
    distance = float(np.dot(position, np.cross(orientation[:3], orientation[3:])))
    corner = np.round(np.array(position) @ np.array([orientation[:3], orientation[3:]]).T, 2) + 0.0
    return SliceFile(
        path=path,
        name=name,
        instance=digest(_uid(header, "SOPInstanceUID")),
        series=digest(_uid(header, "SeriesInstanceUID"), patient, domain, *plane),
        patient=patient,
        scan=digest(
            _uid(header, "StudyInstanceUID"), frame, *plane, *corner,
            *_texts(header, "SliceThickness"), *_texts(header, "KVP"),
        ),
        moment=digest(*instant) if frame and instant else "",
        domain=domain,
        spacing=(spacing[0], spacing[1]),
        position=round(distance, 3) + 0.0,
    )  # fmt: skip


def _should_be_dicom(path: Path) -> bool:
    """Whether a file without the DICOM marker may be a slice that was cut short or overwritten."""
    return path.suffix.lower() in (".dcm", ".dicom", ".ima") or path.stat().st_size == 0


def _check_kind(header: FileDataset) -> None:
    """Raise for everything but an original single-frame CT slice in HU that can be decoded."""
    meta = header.file_meta
    kind = str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    if kind != CTImageStorage:
        known = f" but {UID(kind).name}" if UID(kind).type == "SOP Class" else ""
        lost = meta.get("MediaStorageSOPClassUID") == CTImageStorage
        raise _UnusableError(f"not a CT image{known}", lost=lost)
    image_type = [value.upper() for value in _texts(header, "ImageType")]
    if "LOCALIZER" in image_type:
        raise _UnusableError("localizer", lost=False)
    if image_type[:1] == ["DERIVED"]:
        raise _UnusableError(DERIVED, lost=False)
    if (_texts(header, "NumberOfFrames") or ["1"]) != ["1"]:
        raise _UnusableError("several frames in one file")
    if (_texts(header, "SamplesPerPixel") or ["1"]) != ["1"]:
        raise _UnusableError("not a grey image")
    if (_texts(header, "RescaleType") or ["HU"]) != ["HU"]:
        raise _UnusableError("RescaleType is not HU")
    try:
        decodable = get_decoder(UID(meta.get("TransferSyntaxUID") or "")).is_available
    except NotImplementedError:
        raise _UnusableError("transfer syntax without pixel decoder") from None
    if not decodable:
        raise _UnusableError('compressed; pip install "jaxharmo[dicom]" to decode it')


def _placement(header: Dataset) -> tuple[list[float], list[float]]:
    """ImagePositionPatient and ImageOrientationPatient, the latter checked to span a plane."""
    position = _numbers(header, "ImagePositionPatient", 3)
    orientation = _numbers(header, "ImageOrientationPatient", 6)
    axes = np.array(orientation).reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=0.01):
        raise _UnusableError("ImageOrientationPatient is not two perpendicular directions")
    return position, orientation


def _texts(header: Dataset, keyword: str) -> list[str]:
    """The non-empty values of an element as clean text."""
    value = header.get(keyword)
    values = [] if value is None else [value] if isinstance(value, str) else value
    values = values if isinstance(values, list | MultiValue) else [values]
    return [text for text in (clean(str(item)) for item in values) if text]


def _numbers(header: Dataset, keyword: str, count: int) -> list[float]:
    """The ``count`` finite numbers of an element."""
    try:
        values = [float(text) for text in _texts(header, keyword)]
    except (ValueError, TypeError):
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise _UnusableError(f"{keyword} missing or not {count} number{'s' * (count > 1)}")
    return values


def _uid(header: Dataset, keyword: str) -> str:
    (value, *_) = [*_texts(header, keyword), ""]
    if not value:
        raise _UnusableError(f"{keyword} missing")
    return value
