"""What is measured on some slices of one domain, and its form on disk.

A chunk is the unit of work of an evaluation: it depends on slices, model and settings alone, so
whoever measures it, in whatever order, writes the same. Files are NumPy archives without objects.
"""

import dataclasses
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxharmo.evaluation.comparisons import Row
from jaxharmo.evaluation.samples import Sample, joined, packed, subset, unpacked
from jaxharmo.files import write_bytes_beside_others

_PLACE = ("patient", "slice", "position_mm")


class Real(NamedTuple):
    """Slices as they are."""

    sample: Sample
    density: Float[np.ndarray, "n 2"]
    """LAA-950 (%) and Perc15 (HU) of the lung; NaN where a slice shows none."""


class Made(NamedTuple):
    """What one method made of the slices."""

    rows: list[Row]
    """A row a slice that the method could make, with ``slice``, ``position_mm``, ``patient``."""
    sample: Sample | None
    """None where the slices are real and measured elsewhere."""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some slices of one domain."""

    lung: Int[np.ndarray, "n"]
    """Pixels of lung that each slice shows."""
    real: Real | None
    """None where it was known before."""
    made: dict[int, dict[str, Made]]
    """By the number of the target domain, then by method."""
    seconds: dict[str, float]
    """What measuring took, by part."""


def joined_real(parts: Sequence[Real]) -> Real:
    """The slices of all parts, one after another."""
    samples, densities = zip(*parts, strict=True)
    return Real(joined(samples), np.concatenate(densities))


def write_chunk(path: Path, chunk: Chunk) -> None:
    """Write a chunk; its name appears when all is written."""
    arrays: dict[str, Any] = {
        "lung": chunk.lung,
        "parts": np.array(list(chunk.seconds), str),
        "seconds": np.array(list(chunk.seconds.values()), float),
    }
    if chunk.real:
        arrays |= _under("real", arrays_of(chunk.real))
    for target, methods in chunk.made.items():
        for method, (rows, sample) in methods.items():
            name = f"made/{target}/{method}"
            arrays |= _under(name, _table(rows))
            if sample:
                arrays |= _under(f"{name}/sample", packed(sample))
    write_arrays(path, arrays)


def read_chunk(path: Path, target: int | None = None) -> Chunk | None:
    """The chunk in a file; None where there is none, or the file is damaged.

    With ``target`` only what was made for that domain.
    """
    arrays = read_arrays(path, ("lung", "parts", "seconds", f"made/{target}/"), target is None)
    if arrays is None:
        return None
    try:
        real = subset(arrays, "real")
        made: dict[int, dict[str, Made]] = {}
        for key in arrays:
            if key.startswith("made/") and key.endswith("/figures"):
                _, number, method, _ = key.split("/")
                found = subset(arrays, f"made/{number}/{method}")
                sample = subset(found, "sample")
                one = Made(_rows(found), unpacked(sample) if sample else None)
                made.setdefault(int(number), {})[method] = one
        seconds = zip(arrays["parts"].tolist(), arrays["seconds"].tolist(), strict=True)
        return Chunk(arrays["lung"], real_of(real) if real else None, made, dict(seconds))
    except (ValueError, KeyError):
        # A disk that was full, or a power cut: the chunk is measured again.
        return None


def arrays_of(real: Real) -> dict[str, np.ndarray]:
    """What ``real_of`` reads."""
    return packed(real.sample) | {"density": real.density}


def real_of(arrays: Mapping[str, np.ndarray]) -> Real:
    """``ValueError`` or ``KeyError`` where the arrays do not hold what ``arrays_of`` gives."""
    sample, density = unpacked(arrays), arrays["density"]
    if density.shape != (len(sample.numbers), 2):
        raise ValueError("tables of unequal length")
    return Real(sample, density)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """A NumPy archive that is never seen half-written, though several processes write it."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes_beside_others(path, content.getvalue())


def read_arrays(
    path: Path, wanted: tuple[str, ...] = (), every: bool = True
) -> dict[str, np.ndarray] | None:
    """All of an archive, or what begins like ``wanted``; None where it is absent or damaged."""
    try:
        # Opened here: what cannot be read would be left open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if every or name.startswith(wanted)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _under(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}/{key}": rows for key, rows in arrays.items()}


def _table(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    figures = [name for name in (rows[0] if rows else ()) if name not in _PLACE]
    values = np.array([[row[name] for name in figures] for row in rows], np.float64)
    places = {name: np.array([row[name] for row in rows]) for name in _PLACE}
    return places | {"figures": np.array(figures, str), "values": values}


def _rows(arrays: Mapping[str, np.ndarray]) -> list[Row]:
    names = [*_PLACE, *arrays["figures"].tolist()]
    columns = [arrays[name].tolist() for name in _PLACE]
    values = arrays["values"].tolist()
    return [
        dict(zip(names, [*place, *row], strict=True))
        for *place, row in zip(*columns, values, strict=True)
    ]
