"""One CT slice <-> the bytes of one ArrayRecord record.

Layout: 4-byte little-endian length of the header, the header as UTF-8 JSON, then the pixels as
little-endian int16 HU in row-major order.
"""

import dataclasses
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Int16

WRITER_OPTIONS = "group_size:1,zstd:1"
"""Of ArrayRecord files: in groups of one, a random read fetches one slice, not its neighbours."""
_LENGTH = struct.Struct("<I")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceHeader:
    """What is known of a slice, without a trace of who the patient is.

    Two slices of different domains with equal ``acquisition`` and ``position`` are paired: the
    same projections reconstructed twice.
    """

    domain: int
    """Index into the manifest's domains."""
    patient: str
    """Pseudonym, unique in the data set."""
    series: str
    """Pseudonym, unique in the data set."""
    acquisition: str
    """Pseudonym shared by all reconstructions of the same acquisition."""
    position: float
    """Along the slice normal, mm."""
    spacing: tuple[float, float]
    """Between rows and between columns, mm."""
    body: tuple[int, int, int, int]
    """Bounding box of the body, pixels: top, left, bottom, right (the last two exclusive)."""
    lung: tuple[int, int, int, int] | None = None
    """Bounding box of the lungs; none where they were not looked for or not found."""
    origin: tuple[int, int] = (0, 0)
    """Row and column of the first pixel in the uncropped slice."""


@dataclasses.dataclass(frozen=True)
class Slice:
    """One slice: its header and its pixels in HU."""

    header: SliceHeader
    pixels: Int16[np.ndarray, "h w"]


def encode(item: Slice) -> bytes:
    """Pack a slice into one record."""
    header = dataclasses.asdict(item.header) | {"shape": item.pixels.shape}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text + item.pixels.astype("<i2", casting="equiv").tobytes()


def decode(record: bytes) -> Slice:
    """Unpack a record; ``ValueError`` where the bytes are not one."""
    try:
        (length,) = _LENGTH.unpack_from(record)
        fields = json.loads(record[_LENGTH.size : _LENGTH.size + length])
        shape = fields.pop("shape")
        pixels = np.frombuffer(record, "<i2", offset=_LENGTH.size + length).reshape(shape)
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return Slice(SliceHeader(**(fields | lists)), pixels)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a slice record ({error})") from error


def read_records(path: Path) -> Iterator[Slice]:
    """All slices of an ArrayRecord file, in the order of their writing."""
    reader = ArrayRecordReader(str(path))
    for number in range(reader.num_records()):
        yield decode(reader.read([number])[0])
    reader.close()
