"""One DICOM header -> its CT slices without identifiers, or why it cannot be used.

Who the patient is stays in here: identifiers leave this module as SHA-256 digests only, and a
reason never quotes a header value.
"""

import dataclasses
import functools
import hashlib
import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from jaxharmo.data.manifest import Acquisition
from jaxharmo.data.prepare import factors
from jaxharmo.data.prepare.domains import domain_name
from jaxharmo.data.prepare.elements import UnusableError, numbers, quiet, texts, uid
from jaxharmo.data.prepare.frames import GROUPS, flat_frames
from jaxharmo.data.prepare.reading import read_dicom, undecodable

DERIVED = "derived image (ImageType DERIVED)"
OURS = "harmonized by jaxharmo"
MAX_SIDE = 4096
"""Rows or columns above this are no CT slice; a bound on what one file can make us allocate."""
MAX_FRAMES = 20_000
SPACING = (0.01, 20.0)
"""mm between pixels that a CT slice can have."""
ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

MARKS = ("ContributingEquipmentSequence", "DerivationDescription")
"""Element in which ``jaxharmo harmonize`` marks its output."""
_GREY = ("MONOCHROME1", "MONOCHROME2")
_KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "PatientID", "ImageType", "Rows", "Columns", "ImageOrientationPatient", "ImagePositionPatient",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "AcquisitionDate", "AcquisitionTime", "AcquisitionNumber",
    "AcquisitionDateTime", *MARKS, *factors.KEYWORDS, *GROUPS,
)  # fmt: skip
# Looked up once: it takes as long as the rest of the header.
_TAGS = [Tag(keyword) for keyword in _KEYWORDS]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SliceFile:
    """A usable CT slice in a file; its pixels have not been looked at."""

    folder: str
    """The input folder."""
    name: str
    """Path of the file relative to the input folder."""
    frame: int | None = None
    """Number of the slice in a file that holds several, from 0."""
    instance: str
    """Digest of SOPInstanceUID and frame."""
    series: str
    """Digest of what a series must share: SeriesInstanceUID, patient, domain, in-plane geometry."""
    patient: str
    """Digest of PatientID."""
    scan: str
    """Digest of study, frame of reference, tube voltage, slice thickness and in-plane geometry."""
    moment: str
    """Digest of the acquisition's date and time, else of its number; empty without either."""
    phase: str
    """Digest of AcquisitionNumber, which separates the phases of a scan with repeated positions."""
    domain: str
    """Empty without ConvolutionKernel."""
    factors: Acquisition
    shape: tuple[int, int]
    """Rows and columns."""
    spacing: tuple[float, float]
    """Between rows and between columns, mm."""
    position: float
    """Of the slice along its normal, mm."""
    corner: tuple[float, float]
    """Of the first pixel along rows and columns, mm."""

    @property
    def path(self) -> Path:
        """Of the file."""
        return Path(self.folder, self.name)

    @property
    def label(self) -> str:
        """How reports call the slice."""
        return self.name if self.frame is None else f"{self.name} frame {self.frame + 1}"


@dataclasses.dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a frame of it, that was not used."""

    file: str
    """Path relative to the input folder."""
    reason: str
    lost: bool = False
    """It is, or may be, a slice of a CT series that is now incomplete."""


def digest(*parts: object) -> str:
    """The first 128 bits of the SHA-256 of the parts, hexadecimal."""
    text = "\0".join(map(str, parts)).encode("utf-8", "backslashreplace")
    # Interned, as all slices of a series share most of theirs.
    return sys.intern(hashlib.sha256(text).hexdigest()[:32])


def read_header(
    path: Path, name: str, *, derived: bool = False, ours: bool = False
) -> SliceFile | Skipped:
    """The one slice in ``path``, called ``name`` in reports; never raises for what is in it.

    Of no use are a file with several frames, a derived image unless ``derived`` takes it, and what
    was harmonized before unless ``ours`` takes it.
    """
    (found,) = _read(path, name, frames=False, derived=derived, by="scanner-kernel", ours=ours)
    return found


def read_headers(
    path: Path, name: str, *, derived: bool, by: str = "scanner-kernel"
) -> list[SliceFile | Skipped]:
    """All slices in ``path``, also those of a multi-frame image.

    ``derived`` takes derived images, too; ``by`` makes the domain (``domain_name``).
    """
    return _read(path, name, frames=True, derived=derived, by=by)


def _read(
    path: Path, name: str, *, frames: bool, derived: bool, by: str, ours: bool = False
) -> list[SliceFile | Skipped]:
    try:
        folder = sys.intern(str(path)[: -len(name) - 1])
        with quiet():
            header = read_dicom(path, stop_before_pixels=True, specific_tags=_TAGS)
            kind = _check_kind(header, frames)
            if not frames and not ours and _is_ours(header):
                raise UnusableError(OURS, lost=False)
            if kind not in ENHANCED:
                return [_slice_file(header, header, folder, name, None, derived, by)]
            if not 1 <= (count := int(header.NumberOfFrames)) <= MAX_FRAMES:
                raise UnusableError("NumberOfFrames out of range")
            found: list[SliceFile | Skipped] = []
            for number, frame in enumerate(flat_frames(header, count)):
                try:
                    found.append(_slice_file(frame, header, folder, name, number, derived, by))
                except UnusableError as error:
                    label = f"{name} frame {number + 1}"
                    found.append(Skipped(label, error.reason, error.lost))
            reasons = {item.reason for item in found if isinstance(item, Skipped)}
            whole = len(reasons) == 1 and all(isinstance(item, Skipped) for item in found)
            return [Skipped(name, reasons.pop(), lost=True)] if whole else found
    except UnusableError as error:
        return [Skipped(name, error.reason, error.lost)]
    except OSError:
        return [Skipped(name, "cannot be read", lost=True)]
    except Exception:
        # Damaged bytes surface as almost any exception, whose text would quote them.
        return [Skipped(name, "damaged header", lost=True)]


def _slice_file(
    header: Dataset,
    whole: FileDataset,
    folder: str,
    name: str,
    frame: int | None,
    derived: bool,
    by: str,
) -> SliceFile:
    """``header``: of the slice; ``whole``: of the file that it is a frame of."""
    _check_image_type(header, derived)
    position, orientation = _placement(header)
    shape, spacing = _grid(header)
    patient = digest("patient", *texts(whole, "PatientID"))
    acquisition = factors.acquisition_of(header, spacing[0])
    domain = domain_name(
        " ".join(texts(header, "Manufacturer")),
        " ".join(texts(header, "ManufacturerModelName")),
        texts(header, "ConvolutionKernel"),
        by=by,
    )
    frame_of_reference = "".join(texts(whole, "FrameOfReferenceUID"))
    time = texts(header, "AcquisitionTime")
    instant = [*texts(header, "AcquisitionDate"), *time] if time else []
    number = texts(header, "AcquisitionNumber")
    instant = instant or texts(header, "AcquisitionDateTime") or number
    axes = np.array([orientation[:3], orientation[3:]])
    # Scanners write the same direction with different last digits in different slices.
    plane = (*shape, *np.round(spacing, 5), *np.round(orientation, 4) + 0.0)
    corner = np.round(axes @ np.array(position), 2) + 0.0
    return SliceFile(
        folder=folder,
        name=name,
        frame=frame,
        instance=digest(uid(whole, "SOPInstanceUID"), *([] if frame is None else [frame])),
        series=digest(uid(whole, "SeriesInstanceUID"), patient, domain, *plane),
        patient=patient,
        scan=digest(
            uid(whole, "StudyInstanceUID"), frame_of_reference, *plane, *corner,
            *texts(header, "SliceThickness"), *texts(header, "KVP"),
        ),
        moment=digest(*instant) if frame_of_reference and instant else "",
        phase=digest(*number),
        domain=sys.intern(domain),
        factors=acquisition,
        shape=shape,
        spacing=spacing,
        position=round(float(np.dot(position, _normal(tuple(orientation)))), 3) + 0.0,
        corner=(float(corner[0]), float(corner[1])),
    )  # fmt: skip


def _check_kind(header: FileDataset, frames: bool) -> str:
    """The SOP class; raises for everything but a grey CT image in HU that can be decoded."""
    meta = header.file_meta
    kind = str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    if kind != CTImageStorage and not (frames and kind in ENHANCED):
        known = f" but {UID(kind).name}" if UID(kind).type == "SOP Class" else ""
        lost = meta.get("MediaStorageSOPClassUID") == CTImageStorage
        raise UnusableError(f"not a CT image{known}", lost=lost)
    if kind not in ENHANCED and (texts(header, "NumberOfFrames") or ["1"]) != ["1"]:
        raise UnusableError("several frames in one file")
    grey = (texts(header, "PhotometricInterpretation") or ["MONOCHROME2"])[0] in _GREY
    if (texts(header, "SamplesPerPixel") or ["1"]) != ["1"] or not grey:
        raise UnusableError("not a grey image")
    if reason := undecodable(meta.get("TransferSyntaxUID") or ""):
        raise UnusableError(reason)
    return kind


def _is_ours(header: Dataset) -> bool:
    """By the marks that it leaves; exports change ImageType, or drop one of them."""
    makers = [
        name
        for item in header.get("ContributingEquipmentSequence") or []
        for name in texts(item, "Manufacturer")
    ]
    return "jaxharmo" in makers or any(
        text.startswith("CT harmonization by jaxharmo")
        for text in texts(header, "DerivationDescription")
    )


def _check_image_type(header: Dataset, derived: bool) -> None:
    image_type = [value.upper() for value in texts(header, "ImageType")]
    if "LOCALIZER" in image_type:
        raise UnusableError("localizer", lost=False)
    if image_type[:1] == ["DERIVED"] and not derived:
        raise UnusableError(DERIVED, lost=False)
    # US, unspecified, is what tools write that re-encode pixels; of a CT image it is HU.
    if (texts(header, "RescaleType") or ["HU"])[0] not in ("HU", "US"):
        raise UnusableError("RescaleType is not HU")


def _grid(header: Dataset) -> tuple[tuple[int, int], tuple[float, float]]:
    """Shape and spacing; the rescale to HU is checked with them."""
    (rows,), (columns,) = numbers(header, "Rows", 1), numbers(header, "Columns", 1)
    first, second = numbers(header, "PixelSpacing", 2)
    if not (
        1 <= rows <= MAX_SIDE
        and 1 <= columns <= MAX_SIDE
        and SPACING[0] <= min(first, second) <= max(first, second) <= SPACING[1]
    ):
        raise UnusableError("Rows, Columns or PixelSpacing out of range")
    (slope,) = numbers(header, "RescaleSlope", 1)
    (intercept,) = numbers(header, "RescaleIntercept", 1)
    if slope == 0:
        raise UnusableError("RescaleSlope is 0")
    if not 1e-6 < abs(slope) < 1e4 or abs(intercept) > 1e6:
        raise UnusableError("RescaleSlope or RescaleIntercept out of range")
    return (int(rows), int(columns)), (first, second)


@functools.lru_cache
def _perpendicular(orientation: tuple[float, ...]) -> bool:
    axes = np.array(orientation).reshape(2, 3)
    return np.allclose(axes @ axes.T, np.eye(2), atol=0.01)


@functools.lru_cache
def _normal(orientation: tuple[float, ...]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def _placement(header: Dataset) -> tuple[list[float], list[float]]:
    """ImagePositionPatient and ImageOrientationPatient, the latter checked to span a plane."""
    position = numbers(header, "ImagePositionPatient", 3)
    orientation = numbers(header, "ImageOrientationPatient", 6)
    if not _perpendicular(tuple(orientation)):
        raise UnusableError("ImageOrientationPatient is not two perpendicular directions")
    return position, orientation
