"""NIfTI volumes, which do not name their scanner: a CSV gives the domain of each.

Columns ``file`` (below the input folder) and ``domain``, or ``kernel`` with or without
``manufacturer`` and ``model`` to make it from; optional are ``patient``, ``acquisition`` (equal for
reconstructions of one) and ``kvp``, ``exposure``, ``slice_thickness``, ``contrast`` (yes or no).
Voxels must be HU. A slice is what lies between the first two axes, shown as DICOM does: rows run to
the left, columns to the back.
"""

import csv
import dataclasses
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float32

from jaxharmo.data.manifest import Acquisition
from jaxharmo.data.prepare.domains import clean, domain_name, domain_parts
from jaxharmo.data.prepare.elements import UnusableError
from jaxharmo.errors import InputError

SUFFIXES = (".nii", ".nii.gz")
UNLABELLED = "NIfTI without a domain; name one in a CSV (--labels)"
_NUMBERS = ("kvp", "exposure", "slice_thickness")
_COLUMNS = {
    "file", "domain", "patient", "acquisition", "manufacturer", "model", "kernel", "contrast",
    *_NUMBERS,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Label:
    """The row of the CSV for a volume."""

    domain: str
    patient: str
    acquisition: str
    factors: Acquisition


@dataclasses.dataclass(frozen=True)
class Volume:
    """The geometry of a volume whose slices follow one another in the file."""

    shape: tuple[int, int]
    """Rows and columns of a slice."""
    slices: int
    spacing: tuple[float, float]
    positions: tuple[float, ...]
    """Of the slices along their normal, mm."""
    corner: tuple[float, float]


def is_nifti(name: str) -> bool:
    """By the end of the name: NIfTI-1 with gzip has no other mark at its beginning."""
    return name.lower().endswith(SUFFIXES)


def read_labels(path: Path, by: str) -> dict[str, Label]:
    """The CSV as a table by file; ``InputError`` naming the line that is wrong."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV that can be read ({type(error).__name__})") from error
    unknown = sorted({str(name) for row in rows for name in row} - _COLUMNS)
    if unknown or not rows or "file" not in rows[0]:
        raise InputError(
            f"{path}: {f'unknown column {unknown[0]!r}' if unknown else 'no column file'}; "
            f"columns are {', '.join(sorted(_COLUMNS))}"
        )
    labels: dict[str, Label] = {}
    for line, row in enumerate(rows, start=2):
        name = PurePosixPath(row["file"].strip().replace("\\", "/")).as_posix()
        if name in labels:
            raise InputError(f"{path}, line {line}: a file named before")
        labels[name] = _label({key: value.strip() for key, value in row.items()}, path, line, by)
    return labels


def read_volume(path: Path) -> Volume:
    """The header of a volume; ``UnusableError`` where its slices cannot be read one by one."""
    image = _open(path)
    affine, zooms = np.asarray(image.affine, float), np.asarray(image.header.get_zooms(), float)
    if len(image.shape) != 3 or min(image.shape) < 1 or max(image.shape) > 2**15:
        raise UnusableError("not a volume of three dimensions")
    if not np.isfinite(affine).all() or not (zooms > 0).all() or zooms.max() > 100:
        raise UnusableError("spacing or orientation out of range")
    axes = affine[:3, :3] / zooms
    if np.abs(axes[2, 2]) < np.sqrt(0.5) or np.abs(axes[0, 0]) < np.sqrt(0.5):
        raise UnusableError("not stored as axial slices; reorient it to RAS")
    columns, rows, count = image.shape
    normal = np.cross(_direction(axes, 0), _direction(axes, 1))
    starts = affine[:3, 3] * (-1, -1, 1) + np.outer(np.arange(count), affine[:3, 2] * (-1, -1, 1))
    return Volume(
        shape=(rows, columns),
        slices=count,
        spacing=(float(zooms[1]), float(zooms[0])),
        positions=tuple(round(float(value), 3) + 0.0 for value in starts @ normal),
        corner=(round(float(starts[0, 0]), 2) + 0.0, round(float(starts[0, 1]), 2) + 0.0),
    )


def read_nifti_slices(path: Path, numbers: Sequence[int]) -> Iterator[Float32[np.ndarray, "h w"]]:
    """The slices of these numbers, in their order, HU; one is in memory at a time.

    A compressed file is read from its beginning again only where the order goes back.
    """
    image = _open(path)
    stored = image.dataobj
    columns, rows, _ = image.shape
    kind = stored.dtype
    size = columns * rows * kind.itemsize
    flips = [slice(None, None, -1 if image.affine[axis, axis] > 0 else 1) for axis in (1, 0)]
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rb") as file:
        for number in numbers:
            file.seek(stored.offset + number * size)
            data = file.read(size)
            pixels = np.frombuffer(data, kind).reshape(rows, columns) * stored.slope + stored.inter
            if not np.isfinite(pixels).all():
                raise ValueError("voxels that are no numbers")
            # RAS+ axes run right and front; DICOM shows left and back.
            yield pixels[flips[0], flips[1]].astype(np.float32)


def _direction(axes: np.ndarray, axis: int) -> np.ndarray:
    """Of rows or columns as shown, in DICOM's coordinates (left, back, head)."""
    direction = axes[:, axis] * (-1, -1, 1)
    return direction * np.sign(direction[axis])


def _open(path: Path) -> Any:
    try:
        import nibabel
    except ImportError:
        raise UnusableError('NIfTI; pip install "jaxharmo[nifti]" to read it') from None
    try:
        return nibabel.load(path)  # pyright: ignore[reportPrivateImportUsage]
    except Exception as error:
        raise UnusableError("damaged NIfTI header") from error


def _label(row: dict[str, str], path: Path, line: int, by: str) -> Label:
    parts = domain_parts(row.get("manufacturer", ""), row.get("model", ""), [row.get("kernel", "")])
    domain = clean(row.get("domain", "")) or domain_name(
        parts.manufacturer, parts.model, [parts.kernel], by=by
    )
    if not row["file"] or not domain:
        raise InputError(f"{path}, line {line}: needs a file, and a domain or a kernel")
    contrast = row.get("contrast", "").lower()
    if contrast not in ("", "yes", "no"):
        raise InputError(f"{path}, line {line}: contrast must be yes, no or empty")
    try:
        values = {name: float(row[name]) if row.get(name) else None for name in _NUMBERS}
    except ValueError:
        raise InputError(f"{path}, line {line}: a number is no number") from None
    return Label(
        domain=domain,
        patient=row.get("patient") or row["file"],
        acquisition=row.get("acquisition", ""),
        factors=Acquisition(
            manufacturer=parts.manufacturer or None,
            model=parts.model or None,
            kernel=parts.kernel or None,
            kernel_raw=row.get("kernel") or None,
            contrast={"yes": True, "no": False}.get(contrast),
            **values,
        ),
    )
