"""Measurements of a set of slices: tables with the slice and patient of each row."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxharmo.config import EvalConfig
from jaxharmo.data.records import SliceHeader
from jaxharmo.evaluation import texture
from jaxharmo.evaluation.clock import Clock, in_threads
from jaxharmo.evaluation.extractors import Extractor
from jaxharmo.evaluation.features import tile_corners
from jaxharmo.evaluation.filling import filled_length
from jaxharmo.evaluation.radiomics import Engine, check_engine, radiomic_features
from jaxharmo.evaluation.structure import Anatomy
from jaxharmo.ops.glcm import GlcmConfig
from jaxharmo.ops.intensity import Window

Hu: TypeAlias = Float[np.ndarray, "h w"]
Patches: TypeAlias = list[tuple[int, int]]

_GLCM = GlcmConfig()
_BLOCK = 16


@dataclasses.dataclass(frozen=True)
class Sample:
    """Features of ``n`` slices."""

    numbers: Int[np.ndarray, "n"]
    """Which slices of the domain."""
    patients: np.ndarray
    """Pseudonym of the patient of each slice."""
    deep: dict[str, Float[np.ndarray, "t d"]]
    """Descriptors of tiles or whole slices, by the name of extractor and tap."""
    deep_rows: dict[str, Int[np.ndarray, "t"]]
    """The row among the ``n`` that each descriptor comes from."""
    radiomics: Float[np.ndarray, "n f"]
    """NaN in all of a row where the slice does not show the region."""
    names: tuple[str, ...]
    """Of the radiomic features."""
    profiles: dict[str, Float[np.ndarray, "n k"]]
    """``glcm``: contrast at 16 offsets, HU²; ``power`` of the slice and ``noise`` power of uniform
    tissue by ``texture.FREQUENCIES``, HU² mm²; NaN where there is none."""

    @property
    def shown(self) -> Bool[np.ndarray, "n"]:
        """Slices that show the region of the radiomics."""
        return np.asarray(np.isfinite(self.radiomics).any(1))

    def whose(self, tap: str) -> np.ndarray:
        """Pseudonym of the patient of each descriptor."""
        return self.patients[self.deep_rows[tap]]

    def rows(self, picked: Sequence[int] | Int[np.ndarray, "m"]) -> "Sample":
        """Some of the slices, in the order of ``picked``."""
        picked = np.asarray(picked, int)
        deep, deep_rows = {}, {}
        for tap, of_row in self.deep_rows.items():
            found = [np.flatnonzero(of_row == row) for row in picked.tolist()]
            deep[tap] = self.deep[tap][np.concatenate([np.zeros(0, int), *found])]
            deep_rows[tap] = np.repeat(np.arange(len(picked)), [len(some) for some in found])
        return dataclasses.replace(
            self,
            numbers=self.numbers[picked],
            patients=self.patients[picked],
            deep=deep,
            deep_rows=deep_rows,
            radiomics=self.radiomics[picked],
            profiles={name: rows[picked] for name, rows in self.profiles.items()},
        )


_GROUPS = ("deep", "deep_rows", "profiles")
_PLAIN = ("numbers", "patients", "radiomics")


def packed(sample: Sample) -> dict[str, np.ndarray]:
    """A sample as arrays by name, as a file holds them."""
    arrays = {name: getattr(sample, name) for name in _PLAIN}
    arrays["names"] = np.array(sample.names, str)
    for group in _GROUPS:
        arrays |= {f"{group}/{name}": rows for name, rows in getattr(sample, group).items()}
    return arrays


def unpacked(arrays: Mapping[str, np.ndarray]) -> Sample:
    """The sample in arrays; ``ValueError`` or ``KeyError`` where they hold none."""
    groups: dict[str, Any] = {group: subset(arrays, group) for group in _GROUPS}
    plain: dict[str, Any] = {name: arrays[name] for name in _PLAIN}
    if (
        len({len(rows) for rows in plain.values()}) > 1
        or groups["deep"].keys() != groups["deep_rows"].keys()
    ):
        raise ValueError("tables of unequal length")
    return Sample(**plain, names=tuple(arrays["names"].tolist()), **groups)


def subset(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Arrays whose names begin with ``name`` and a slash, without that."""
    start = f"{name}/"
    return {key[len(start) :]: rows for key, rows in arrays.items() if key.startswith(start)}


def tile_count(sample: Sample) -> int:
    """Number of tiles with features of EfficientNet-Lite0."""
    return len(sample.deep_rows["lite0_texture"])


def joined(parts: Sequence[Sample]) -> Sample:
    """The slices of all parts, one after another."""
    firsts = np.cumsum([0, *(len(part.numbers) for part in parts)])
    # A part without a slice that shows the region cannot name features.
    names = max((part.names for part in parts), key=len)
    tables = [
        part.radiomics if part.names else np.full((len(part.numbers), len(names)), np.nan)
        for part in parts
    ]
    return Sample(
        numbers=np.concatenate([part.numbers for part in parts]),
        patients=np.concatenate([part.patients for part in parts]),
        deep={tap: np.concatenate([part.deep[tap] for part in parts]) for tap in parts[0].deep},
        deep_rows={
            tap: np.concatenate(
                [part.deep_rows[tap] + first for part, first in zip(parts, firsts, strict=False)]
            )
            for tap in parts[0].deep
        },
        radiomics=np.concatenate(tables),
        names=names,
        profiles={
            name: np.concatenate([part.profiles[name] for part in parts])
            for name in parts[0].profiles
        },
    )


class Sampler:
    """Measures slices; the same settings for real and made ones."""

    def __init__(
        self,
        settings: EvalConfig,
        window: Window,
        extractors: Sequence[Extractor],
        clock: Clock,
        roi: str = "lung",
    ):
        self.engine: Engine = check_engine(settings.radiomics)
        self.roi = roi
        self._settings, self._window, self._clock = settings, window, clock
        self._extractors = extractors

    @property
    def description(self) -> dict:
        """All that the measured values depend on, but for the slices."""
        fields = ("tile", "max_tiles", "bin_width", "seed")
        return {name: getattr(self._settings, name) for name in fields} | {
            "window": list(self._window),
            "engine": self.engine,
            "roi": self.roi,
            "extractors": [extractor.digest for extractor in self._extractors],
        }

    def __call__(
        self,
        images: Sequence[Hu],
        sources: Sequence[Anatomy],
        headers: Sequence[SliceHeader],
        patches: Sequence[Patches],
        numbers: Sequence[int],
        total: int,
    ) -> Sample:
        """Features of ``images`` (HU) made of ``sources``, some of a domain's ``total`` slices.

        ``patches`` are those of ``uniform_patches``. Tiles, patches and regions depend on the
        sources alone: a slice and its translations are measured in the same places.
        """
        tiles, tile_rows = self._tiles(images, sources, numbers, total)
        deep, deep_rows = {}, {}
        for extractor in self._extractors:
            seen, rows = tiles, tile_rows
            if extractor.whole:
                seen, rows = np.stack(images), np.arange(len(images))
            with self._clock(extractor.title):
                found = extractor.extract(seen, self._window)
            deep |= found
            deep_rows |= dict.fromkeys(found, rows)
        masks = [self._region(source) for source in sources]
        with self._clock("radiomics"):
            names, radiomics = self._radiomics(images, masks)
        with self._clock("texture"):
            profiles = self._profiles(images, masks, patches, headers)
        patients = np.array([header.patient for header in headers])
        rows = np.asarray(numbers, int)
        return Sample(rows, patients, deep, deep_rows, radiomics, names, profiles)

    def uniform_patches(self, sources: Sequence[Anatomy]) -> list[Patches]:
        """Where the noise of slices and of their translations is measured: once for all methods."""
        with self._clock("texture"):
            return in_threads(
                lambda source: texture.uniform_patches(source.hu, source.tissue.soft), sources
            )

    def _region(self, source: Anatomy) -> Bool[np.ndarray, "h w"]:
        return source.tissue.core if self.roi == "lung" else source.tissue.body

    def _tiles(
        self, images: Sequence[Hu], sources: Sequence[Anatomy], numbers: Sequence[int], total: int
    ) -> tuple[Float[np.ndarray, "t s s"], Int[np.ndarray, "t"]]:
        side, limit = self._settings.tile, self._settings.max_tiles
        share = -(-limit // total) if limit else None
        tiles, rows = [], []
        for row, (hu, source, number) in enumerate(zip(images, sources, numbers, strict=True)):
            corners = tile_corners(source.tissue.body, side)
            if share and len(corners) > share:
                random = np.random.default_rng((self._settings.seed, number))
                chosen = sorted(random.choice(len(corners), share, replace=False).tolist())
                corners = [corners[index] for index in chosen]
            tiles += [hu[top : top + side, left : left + side] for top, left in corners]
            rows += [row] * len(corners)
        found = np.stack(tiles) if tiles else np.zeros((0, side, side), np.float32)
        return found, np.asarray(rows, int)

    def _radiomics(
        self, slices: Sequence[Hu], masks: Sequence[np.ndarray]
    ) -> tuple[tuple[str, ...], Float[np.ndarray, "n f"]]:
        shown = [row for row, mask in enumerate(masks) if mask.any()]
        measured = radiomic_features(
            [slices[row] for row in shown],
            [masks[row] for row in shown],
            self._settings.bin_width,
            self.engine,
        )
        names = tuple(measured[0]) if measured else ()
        table = np.full((len(slices), len(names)), np.nan)
        for row, found in zip(shown, measured, strict=True):
            table[row] = [found[name] for name in names]
        return names, table

    def _profiles(
        self,
        images: Sequence[Hu],
        masks: Sequence[Bool[np.ndarray, "h w"]],
        patches: Sequence[Patches],
        headers: Sequence[SliceHeader],
    ) -> dict[str, Float[np.ndarray, "n k"]]:
        low, high = self._window
        # Few shapes are compiled for chunks of any length.
        missing = filled_length(len(images), _BLOCK) - len(images)
        filled = ((0, missing), (0, 0), (0, 0))
        grids = texture.glcm_grids(
            np.pad(np.stack(images), filled), np.pad(np.stack(masks), filled), self._window, _GLCM
        )[: len(images)]
        spacings = [header.spacing for header in headers]
        power = in_threads(texture.radial_power, images, spacings)
        noise = in_threads(texture.noise_power, images, patches, spacings)
        return {
            "glcm": grids * ((high - low) / (_GLCM.levels - 1)) ** 2,
            "power": np.stack([spectrum.power for spectrum in power]),
            "noise": np.stack([spectrum.power for spectrum in noise]),
        }


def chunks(numbers: Sequence[int], kinds: Sequence[Hashable]) -> Iterator[list[int]]:
    """``numbers`` cut into runs of at most ``_BLOCK`` slices of one kind."""
    chunk: list[int] = []
    for number in numbers:
        if chunk and (len(chunk) == _BLOCK or kinds[number] != kinds[chunk[0]]):
            yield chunk
            chunk = []
        chunk.append(number)
    yield chunk
