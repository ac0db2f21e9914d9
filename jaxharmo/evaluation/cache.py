"""Features of real slices, kept between evaluations beside the shards they were measured on.

``SHARD_DIR/features/<split>-<slug>-<key>.npz``; the key is a digest of the pixels and headers, of
which slices are measured, and of all settings and weights that the values depend on. So any run on
the shard set finds them, and nothing stale is ever found. A file that cannot be read is measured
again and replaced; where the shard set cannot be written to, nothing is kept.
"""

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxharmo.evaluation.samples import Sample
from jaxharmo.evaluation.slices import DomainSlices

FOLDER = "features"
_VERSION = 1
"""To be raised when a measure changes its values."""


def kept_sample(
    shards: Path, domain: DomainSlices, settings: dict, measure: Callable[[], Sample]
) -> tuple[Sample, bool]:
    """The sample on disk, or that of ``measure()``, which is then kept; and whether it was found.

    ``settings`` is ``Sampler.description``.
    """
    what = {
        "version": _VERSION,
        "slices": domain.digest,
        "chosen": domain.chosen,
        "settings": settings,
    }
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
    path = shards / FOLDER / f"{domain.split}-{domain.slug}-{key}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return _read(path), True
    sample = measure()
    with contextlib.suppress(OSError):
        _write(path, sample)
    return sample, False


def _read(path: Path) -> Sample:
    # Opened here: what cannot be read would be left open.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    sample = Sample(
        numbers=arrays.pop("numbers"),
        patients=arrays.pop("patients"),
        radiomics=arrays.pop("radiomics"),
        names=tuple(arrays.pop("names").tolist()),
        deep=_group(arrays, "deep/"),
        deep_rows=_group(arrays, "deep_rows/"),
        profiles=_group(arrays, "profiles/"),
    )
    slices = {len(sample.numbers), len(sample.patients), len(sample.radiomics)}
    if len(slices) > 1 or sample.deep.keys() != sample.deep_rows.keys():
        raise ValueError("tables of unequal length")
    return sample


def _group(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): rows for name, rows in arrays.items() if name.startswith(prefix)
    }


def _write(path: Path, sample: Sample) -> None:
    path.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    arrays: dict[str, Any] = {
        "numbers": sample.numbers,
        "patients": sample.patients,
        "radiomics": sample.radiomics,
        "names": np.array(sample.names, str),
    }
    for group in ("deep", "deep_rows", "profiles"):
        arrays |= {f"{group}/{name}": rows for name, rows in getattr(sample, group).items()}
    np.savez(content, **arrays)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content.getvalue())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
