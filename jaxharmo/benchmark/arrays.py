"""The slices of a suite as plain NumPy files, and results that come back as such.

``arrays/<split>/<slug>.npy`` holds the slices of a domain, int16 HU, ``(n, h, w)``;
``arrays/slices.csv`` has a row a slice. Two slices of different domains with equal split,
acquisition, position and spacing are a pair. A folder of results holds ``<slug>_to_<slug>.npy``
for every ordered pair of domains: the test slices of the first in their order, HU, any real type.
"""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxharmo.data.manifest import SPLITS, Manifest
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError
from jaxharmo.evaluation.methods import Apply, Entry
from jaxharmo.files import appearing_folder, defused

FOLDER = "arrays"
_MOST = 40
"""Characters of a name."""


def write_arrays(shards: Path, manifest: Manifest, destination: Path) -> None:
    """Write the slices of a shard set, all of one shape, to ``destination`` unless it is there."""
    if destination.exists():
        return
    rows: list[dict[str, Any]] = []
    with appearing_folder(destination) as folder:
        for split, domain in itertools.product(SPLITS, manifest.domains):
            slices = SliceSource(shards, split, domain)
            if not slices:
                continue
            (folder / split).mkdir(exist_ok=True)
            shape = (len(slices), *slices[0].pixels.shape)
            path = folder / split / f"{domain.slug}.npy"
            array = np.lib.format.open_memmap(path, "w+", np.dtype("<i2"), shape)
            for number, item in enumerate(slices):
                array[number] = item.pixels
                header = item.header
                rows.append(
                    {
                        "split": split,
                        "domain": domain.name,
                        "slug": domain.slug,
                        "number": number,
                        "patient": header.patient,
                        "acquisition": header.acquisition,
                        "position_mm": header.position,
                        "spacing_mm": header.spacing[0],
                    }
                )
            array.flush()
        with (folder / "slices.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({name: defused(cell) for name, cell in row.items()} for row in rows)


def read_results(given: Sequence[str], manifest: Manifest, matrix: int) -> list[Entry]:
    """The results that ``NAME=FOLDER`` name, checked as a whole.

    ``InputError`` for a name that is used twice or not fit to print, a missing file, one of another
    shape or type, and values that are not finite.
    """
    entries: list[Entry] = []
    for each in given:
        name, sign, folder = each.partition("=")
        name = name.strip()
        if not sign or not folder or not name or len(name) > _MOST or not name.isprintable():
            raise InputError(
                f"--results {each!r}: write NAME=FOLDER, with a name of 1 to {_MOST} characters"
            )
        if name in [entry.title for entry in entries]:
            raise InputError(f"--results: '{name}' twice; give each its own name")
        entries.append(_entry(name, Path(folder), manifest, matrix))
    return entries


def result_name(source: str, target: str) -> str:
    """Name of the file with the translations from one domain to another, by their slugs."""
    return f"{source}_to_{target}.npy"


def _entry(name: str, folder: Path, manifest: Manifest, matrix: int) -> Entry:
    found: dict[tuple[str, str], np.ndarray] = {}
    for source, target in itertools.permutations(manifest.domains, 2):
        shape = (source.slices["test"], matrix, matrix)
        path = folder / result_name(source.slug, target.slug)
        found[source.name, target.name] = _array(path, shape)

    def between(of: str, to: str) -> Apply:
        array = found[of, to]
        return lambda hu, spacing, numbers: np.asarray(array[list(numbers)], np.float32)

    return Entry(name, between)


def _array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; every ordered pair of domains needs one") from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a NumPy array ({error}); use numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise InputError(f"{path}: not an array of real numbers; write HU with numpy.save")
    if array.shape != shape:
        raise InputError(
            f"{path}: shape {array.shape}, not {shape}: the test slices of the source domain in "
            "their order"
        )
    if not all(np.isfinite(each).all() for each in array):
        raise InputError(f"{path}: values are not finite; replace them by HU")
    return array
