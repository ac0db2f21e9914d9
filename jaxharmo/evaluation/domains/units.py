"""What is compared: radiomic texture by patient and reconstruction, averaged over slices."""

import dataclasses
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from jaxharmo.data.manifest import SPLITS, Acquisition, Domain, Manifest
from jaxharmo.data.records import Slice, SliceHeader
from jaxharmo.data.shards import SliceSource
from jaxharmo.evaluation.radiomics import Row, radiomic_features
from jaxharmo.ops.tissue import segment

Region = Literal["lung", "body"]
Features = Literal["texture", "all"]

MIN_PIXELS = 300
"""Of a region; fewer say little of texture."""
_GRID = 256
_BLOCK = 32
_SIZE_FEATURES = ("firstorder_Energy", "firstorder_TotalEnergy")
"""They grow with the region."""
_TEXTURE = "glcm_"
_DECADE = 10.0


@dataclasses.dataclass(frozen=True)
class Units:
    """A row is one patient in one domain, acquired one way: the mean over the slices of it."""

    features: Float[np.ndarray, "n f"]
    """Logarithms of those that spread over more than a decade."""
    names: tuple[str, ...]
    """Of the features."""
    patients: np.ndarray
    """Pseudonym of each row's patient."""
    acquisitions: np.ndarray
    """Equal where rows are reconstructions of the same acquisitions."""
    domains: np.ndarray
    """Name of each row's domain."""
    series: tuple[Acquisition, ...]
    """How each row was acquired."""
    slices: np.ndarray
    """How many slices each row is the mean of."""
    passed_over: int = 0
    """Slices that show too little of the region."""


def measure_units(
    shards: Path,
    manifest: Manifest,
    *,
    region: Region = "lung",
    kind: Features = "texture",
    limit: int = 0,
    bin_width: float = 25.0,
    progress: Callable[[Iterator, int], Iterator] = lambda items, total: items,
) -> Units:
    """Features of the lung, away from its border, or of the soft tissue of the body.

    Of every domain at most ``limit`` slices (0: all), spread evenly over all splits. Slices
    are read in small blocks: memory does not grow with the set.
    """
    picked = [_picked(shards, domain, limit) for domain in manifest.domains]
    total = sum(map(len, picked))
    rows: dict[tuple[str, str, Acquisition], list[tuple[SliceHeader, Row]]] = defaultdict(list)
    passed_over = 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:

        def measured() -> Iterator[tuple[str, SliceHeader, Row | None]]:
            for domain, slices in zip(manifest.domains, picked, strict=True):
                for first in range(0, len(slices), _BLOCK):
                    block = [
                        slices[number] for number in range(first, min(first + _BLOCK, len(slices)))
                    ]
                    masks = list(threads.map(lambda item: _mask(item, region), block))
                    for item, row in zip(block, _features(block, masks, bin_width), strict=True):
                        yield domain.name, item.header, row

        for name, header, row in progress(measured(), total):
            if row is None:
                passed_over += 1
                continue
            series = manifest.series.get(header.series, Acquisition())
            rows[header.patient, name, series].append((header, row))
    return _table(rows, kind, passed_over)


class _Picked(Sequence[Slice]):
    """Some of the slices of a domain over all splits."""

    def __init__(self, sources: list[SliceSource], limit: int):
        every = [(source, number) for source in sources for number in range(len(source))]
        count = min(limit, len(every)) if limit > 0 else len(every)
        self._chosen = [every[i] for i in np.linspace(0, len(every) - 1, count).round().astype(int)]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Slice:  # pyright: ignore[reportIncompatibleMethodOverride]
        source, number = self._chosen[index]
        return source[number]


def _picked(shards: Path, domain: Domain, limit: int) -> _Picked:
    return _Picked([SliceSource(shards, split, domain) for split in SPLITS], limit)


def _mask(item: Slice, region: Region) -> Bool[np.ndarray, "h w"]:
    tissue = segment(item.pixels.astype(np.float32), _GRID)
    return tissue.core if region == "lung" else tissue.soft


def _features(
    block: list[Slice], masks: list[Bool[np.ndarray, "h w"]], bin_width: float
) -> list[Row | None]:
    """A row of features, or none where the region is too small."""
    large = [number for number, mask in enumerate(masks) if mask.sum() >= MIN_PIXELS]
    slices = [block[number].pixels.astype(np.float32) for number in large]
    found = radiomic_features(slices, [masks[n] for n in large], bin_width, "native")
    rows: list[Row | None] = [None] * len(block)
    for number, row in zip(large, found, strict=True):
        rows[number] = row
    return rows


def _table(
    rows: dict[tuple[str, str, Acquisition], list[tuple[SliceHeader, Row]]],
    kind: Features,
    passed_over: int,
) -> Units:
    keys = sorted(rows, key=lambda key: (key[0], key[1], repr(key[2])))
    first = rows[keys[0]][0][1] if keys else {}
    names = tuple(
        name
        for name in first
        if (name.startswith(_TEXTURE) if kind == "texture" else name not in _SIZE_FEATURES)
    )
    means = np.array(
        [np.mean([[row[name] for name in names] for _, row in rows[key]], 0) for key in keys]
    ).reshape(len(keys), len(names))
    acquisitions = [" ".join(sorted({h.acquisition for h, _ in rows[key]})) for key in keys]
    return Units(
        features=_logarithms(means),
        names=names,
        patients=np.array([patient for patient, _, _ in keys]),
        acquisitions=np.array(acquisitions),
        domains=np.array([domain for _, domain, _ in keys]),
        series=tuple(series for _, _, series in keys),
        slices=np.array([len(rows[key]) for key in keys]),
        passed_over=passed_over,
    )


def _logarithms(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
    """Of columns of positive numbers that span more than a decade, else a few rows decide."""
    if not len(features):
        return features
    low, high = features.min(0), features.max(0)
    wide = (low > 0) & (high > _DECADE * low)
    return np.where(wide, np.log(np.where(wide, features, 1.0)), features)
