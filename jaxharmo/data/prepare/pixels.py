"""Pixels of a CT slice in HU, which of them are padding, and where the body lies."""

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import Bool, Float32, Real
from pydicom.dataset import Dataset, FileDataset
from scipy import ndimage

from jaxharmo.data.prepare.elements import quiet

SCALE = (-1024.0, 3071.0)
"""HU that a 12-bit CT can mean; below lies what scanners put outside the reconstruction circle."""
BODY_THRESHOLD = -500.0
"""HU between air and soft tissue."""


class PixelError(Exception):
    """The pixels cannot be read; the text is the reason, without a value of the header."""


@dataclasses.dataclass(frozen=True)
class Pixels:
    """One slice in HU, untouched, and the mask of its padding."""

    hu: Float32[np.ndarray, "h w"]
    padding: Bool[np.ndarray, "h w"]


def read_dataset(path: Path) -> FileDataset:
    """The whole of a DICOM file; ``PixelError`` where it is damaged."""
    try:
        with quiet():
            return pydicom.dcmread(path)
    except Exception as error:
        raise PixelError("damaged or unreadable file") from error


def pixels_of(dataset: Dataset) -> Pixels:
    """Stored values × RescaleSlope + RescaleIntercept, HU; ``PixelError`` where they are damaged.

    Padding is what holds PixelPaddingValue or lies below -1024 HU.
    """
    try:
        with quiet():
            _check_length(dataset)
            stored = dataset.pixel_array.astype(np.int32)
            slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
            shape = (dataset.Rows, dataset.Columns)
    except PixelError:
        raise
    except Exception as error:
        # Decoders meet damaged bytes with almost any exception.
        raise PixelError("pixel data missing or cannot be decoded") from error
    if stored.shape != shape:
        raise PixelError("pixel data is not one image of Rows × Columns")
    hu = (stored * slope + intercept).astype(np.float32)
    value = _padding_value(dataset)
    if value is None:
        return Pixels(hu, hu < SCALE[0])
    marked = np.isin(stored, (value, value + 2**16))
    hu[marked] = value * slope + intercept
    return Pixels(hu, marked | (hu < SCALE[0]))


def body_box(hu: Real[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Bounding box of the largest object denser than air: top, left, bottom, right (exclusive).

    The whole image where nothing is.
    """
    labels, count = ndimage.label(hu > BODY_THRESHOLD)  # pyright: ignore[reportGeneralTypeIssues]
    if not count:
        return 0, 0, *hu.shape
    largest = int(np.argmax(np.bincount(labels.ravel())[1:]))
    rows, columns = ndimage.find_objects(labels)[largest]
    return rows.start, columns.start, rows.stop, columns.stop


def padding_hu(dataset: Dataset) -> float | None:
    """HU of PixelPaddingValue; none where the value is absent or cannot be told from tissue."""
    value = _padding_value(dataset)
    if value is None:
        return None
    return value * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def _padding_value(dataset: Dataset) -> int | None:
    """PixelPaddingValue as the signed number it stands for.

    GE stores -2000 as 63536, its unsigned view. A value inside the CT scale is not taken for
    padding: it would single out tissue of that very HU.
    """
    with quiet():
        try:
            value = int(dataset.get("PixelPaddingValue"))  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError):
            return None
        signed = value - 2**16 if value >= 2**15 else value
        hu = signed * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return None if SCALE[0] < hu < SCALE[1] else signed


def _check_length(dataset: Dataset) -> None:
    """Say so plainly where uncompressed pixel data is cut short."""
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    expected = dataset.Rows * dataset.Columns * (dataset.BitsAllocated // 8)
    if len(dataset.PixelData) < expected:
        raise PixelError("truncated pixel data")
