"""A file -> a DICOM data set, whether or not it has the preamble and meta information it should."""

import functools
import io
import zlib
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import FileDataset
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_decoder  # pyright: ignore[reportPrivateImportUsage]
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from jaxharmo.data.prepare.elements import UnusableError

MAX_INFLATED = 256 * 2**20
"""Bytes that a deflated file may hold: no CT slice is larger, but a bomb is."""
_MARKER_END = 132
_GROUP_LENGTH_ELEMENT = 12
_START = 1024
"""Bytes that hold the meta information of most files, the transfer syntax at least."""
_CHUNK = 2**20
_DEFLATED = DeflatedExplicitVRLittleEndian.encode()


def read_dicom(path: Path, **options: Any) -> FileDataset:
    """``pydicom.dcmread``; ``UnusableError`` for what is no DICOM file.

    Files without preamble, or without meta information, are read where they begin with an element
    of group 0002 or 0008 as such files do.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    marked = start[128:_MARKER_END] == b"DICM"
    if not marked and not _begins_with_element(start):
        raise UnusableError("not a DICOM file", lost=_should_be_dicom(path, start))
    if _DEFLATED in start:
        _refuse_bomb(path)
    try:
        dataset = pydicom.dcmread(path, force=not marked, **options)
    except MemoryError:
        # A forged length is larger than the file. Reading from memory stops at the end.
        dataset = pydicom.dcmread(io.BytesIO(path.read_bytes()), force=not marked, **options)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        if not little:
            raise UnusableError("TransferSyntaxUID missing")
        dataset.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        )
    return dataset


@functools.lru_cache
def undecodable(syntax: str) -> str:
    """Why pixels in this transfer syntax cannot be decoded; empty where they can."""
    try:
        available = get_decoder(UID(syntax)).is_available
    except NotImplementedError:
        return "transfer syntax without pixel decoder"
    return "" if available else 'compressed; pip install "jaxharmo[dicom]" to decode it'


def _begins_with_element(start: bytes) -> bool:
    """Whether the first bytes are the tag of a low element of group 0002 or 0008, little endian."""
    return len(start) > 8 and start[:2] in (b"\x02\0", b"\x08\0") and start[3] == 0


def _should_be_dicom(path: Path, start: bytes) -> bool:
    """Whether a file without the DICOM marker may be a slice that was cut short or overwritten."""
    return path.suffix.lower() in (".dcm", ".dicom", ".ima") or not start


def _refuse_bomb(path: Path) -> None:
    """``UnusableError`` where the data set of a deflated file is larger than any slice."""
    meta = read_file_meta_info(path)
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        file.seek(_MARKER_END + _GROUP_LENGTH_ELEMENT + meta.FileMetaInformationGroupLength)
        while chunk := inflate.unconsumed_tail or file.read(_CHUNK):
            size += len(inflate.decompress(chunk, _CHUNK))
            if size > MAX_INFLATED:
                raise UnusableError("deflated to far more than one slice")
