"""Pixels of CT slices in HU, and which of them are padding."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float32, Integer
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import iter_pixels  # pyright: ignore[reportPrivateImportUsage]
from pydicom.tag import Tag

from jaxharmo.data.prepare.elements import quiet
from jaxharmo.data.prepare.frames import flat_frames
from jaxharmo.data.prepare.headers import SliceFile
from jaxharmo.data.prepare.nifti import is_nifti, read_nifti_slices
from jaxharmo.data.prepare.reading import read_dicom
from jaxharmo.errors import Preempted
from jaxharmo.isolation import limited

SCALE = (-1024.0, 3071.0)
"""HU that a 12-bit CT can mean; below lies what scanners put outside the reconstruction circle."""
UNREADABLE = "damaged or unreadable file"
UNDECODED = "pixel data missing or cannot be decoded"

_TAGS = [
    Tag(keyword)
    for keyword in (
        "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
        "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
        "PixelData", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue",
        "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    )
]  # fmt: skip


class PixelError(Exception):
    """The pixels cannot be read; the text is the reason, without a value of the header."""


@dataclasses.dataclass(frozen=True)
class Pixels:
    """One slice in HU, untouched, and the mask of its padding."""

    hu: Float32[np.ndarray, "h w"]
    padding: Bool[np.ndarray, "h w"]


@contextlib.contextmanager
def decoding(reason: str) -> Iterator[None]:
    """Within the limits of a file, whatever a decoder raises becomes ``PixelError(reason)``.

    Damaged bytes can raise almost anything: the panic of a decoder in Rust is no ``Exception``.
    """
    try:
        with quiet(), limited():
            yield
    except (PixelError, KeyboardInterrupt, SystemExit, GeneratorExit, Preempted):
        raise
    except BaseException as error:
        raise PixelError(reason) from error


def read_slices(
    items: Sequence[SliceFile], deadly: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[SliceFile, Pixels | PixelError]]:
    """The pixels of ``items`` one after another, or why they cannot be read.

    Files with several frames are read frame by frame, so that one slice is in memory at a time.
    Slices whose label is in ``deadly`` are not read, for the reason given there.
    """
    for (name, several, reason), group in itertools.groupby(
        items, key=lambda item: (item.name, item.frame is not None, deadly.get(item.label))
    ):
        slices = list(group)
        if reason:
            yield from ((item, PixelError(reason)) for item in slices)
        elif is_nifti(name):
            yield from _read_nifti(slices)
        elif several:
            yield from _read_frames(slices)
        else:
            for item in slices:
                yield item, _read_one(item)


def read_dataset(path: Path) -> FileDataset:
    """The whole of a DICOM file; ``PixelError`` where it is damaged."""
    with decoding(UNREADABLE):
        return read_dicom(path)


def pixels_of(dataset: Dataset) -> Pixels:
    """Stored values × RescaleSlope + RescaleIntercept, HU; ``PixelError`` where they are damaged.

    Padding is what holds PixelPaddingValue or lies below -1024 HU.
    """
    with decoding(UNDECODED):
        _check_length(dataset)
        stored = dataset.pixel_array
        return _rescaled(stored, (dataset.Rows, dataset.Columns), dataset)


def padding_hu(dataset: Dataset) -> float | None:
    """HU of PixelPaddingValue; none where the value is absent or could be tissue."""
    value = _padding_value(dataset)
    if value is None:
        return None
    return value * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def _read_one(item: SliceFile) -> Pixels | PixelError:
    try:
        with decoding(UNREADABLE):
            # Only what is needed: a file may carry anything beside, of any size.
            dataset = read_dicom(item.path, specific_tags=_TAGS)
        return pixels_of(dataset)
    except PixelError as error:
        return error


def _read_frames(items: list[SliceFile]) -> Iterator[tuple[SliceFile, Pixels | PixelError]]:
    path, left = items[0].path, items
    try:
        with decoding(UNREADABLE):
            header = read_dicom(path, stop_before_pixels=True)
            frames = list(flat_frames(header, int(header.NumberOfFrames)))
    except PixelError as error:
        yield from ((item, error) for item in items)
        return
    while left:
        stored = iter_pixels(path, indices=[item.frame for item in left], raw=True)  # pyright: ignore[reportArgumentType]
        for item in list(left):
            left = left[1:]
            try:
                with decoding(UNDECODED):
                    pixels = _rescaled(next(stored), item.shape, frames[item.frame or 0])
            except PixelError as error:
                yield item, error
                # The iterator does not survive a bad frame; those after it may be sound.
                break
            yield item, pixels


def _read_nifti(items: list[SliceFile]) -> Iterator[tuple[SliceFile, Pixels | PixelError]]:
    left = list(items)
    stored = read_nifti_slices(items[0].path, [item.frame or 0 for item in items])
    try:
        while left:
            with decoding("truncated or damaged volume"):
                hu = next(stored)
            yield left.pop(0), Pixels(hu, hu < SCALE[0])
    except PixelError as error:
        yield from ((item, error) for item in left)


def _rescaled(
    stored: Integer[np.ndarray, "h w"], shape: tuple[int, int], header: Dataset
) -> Pixels:
    if stored.shape != shape or stored.dtype.kind not in "iu":
        raise PixelError("pixel data is not one image of Rows × Columns")
    slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
    hu = np.multiply(stored, slope, dtype=np.float32)
    hu += np.float32(intercept)
    padding = hu < SCALE[0]
    value = _padding_value(header)
    if value is not None:
        for marker in (value, value + 2**16):
            if _can_hold(stored, marker):
                marked = stored == marker
                hu[marked] = value * slope + intercept
                padding |= marked
    return Pixels(hu, padding)


def _can_hold(stored: np.ndarray, value: int) -> bool:
    limits = np.iinfo(stored.dtype)
    return limits.min <= value <= limits.max


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
