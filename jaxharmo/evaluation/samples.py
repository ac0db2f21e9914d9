"""What is measured on a set of slices, as tables whose rows know their slice and their patient."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxharmo.config import EvalConfig
from jaxharmo.evaluation.clock import Clock
from jaxharmo.evaluation.extractors import Extractor
from jaxharmo.evaluation.features import tile_corners
from jaxharmo.evaluation.radiomics import check_engine, radiomic_features
from jaxharmo.evaluation.spectrum import power_profile
from jaxharmo.ops.glcm import GlcmConfig, glcm_features
from jaxharmo.ops.intensity import Window, normalize
from jaxharmo.ops.tissue import Tissue

Hu: TypeAlias = Float[np.ndarray, "h w"]

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
    """Descriptors of tiles, by the name of extractor and tap."""
    tile_rows: Int[np.ndarray, "t"]
    """The row among the ``n`` that each tile was cut from."""
    radiomics: Float[np.ndarray, "n f"]
    """NaN in all of a row where the slice does not show the region."""
    names: tuple[str, ...]
    """Of the radiomic features."""
    profiles: dict[str, Float[np.ndarray, "n k"]]
    """``glcm``: contrast at 16 offsets, HU²; ``power``: noise power by frequency, HU² mm²."""

    @property
    def shown(self) -> Bool[np.ndarray, "n"]:
        """Slices that show the region of the radiomics."""
        return np.isfinite(self.radiomics).any(1)

    @property
    def tile_patients(self) -> np.ndarray:
        """Pseudonym of the patient of each tile."""
        return self.patients[self.tile_rows]

    def rows(self, picked: Sequence[int] | Int[np.ndarray, "m"]) -> "Sample":
        """Some of the slices, in the order of ``picked``."""
        picked = np.asarray(picked, int)
        tiles = [np.flatnonzero(self.tile_rows == row) for row in picked.tolist()]
        chosen = np.concatenate([np.zeros(0, int), *tiles])
        return dataclasses.replace(
            self,
            numbers=self.numbers[picked],
            patients=self.patients[picked],
            deep={tap: rows[chosen] for tap, rows in self.deep.items()},
            tile_rows=np.repeat(np.arange(len(picked)), [len(some) for some in tiles]),
            radiomics=self.radiomics[picked],
            profiles={name: rows[picked] for name, rows in self.profiles.items()},
        )


def joined(parts: Sequence[Sample]) -> Sample:
    """The slices of all parts, one after another."""
    firsts = np.cumsum([0, *(len(part.numbers) for part in parts)])
    # A part without a slice that shows the region cannot name features.
    names = max((part.names for part in parts), key=len)
    tables = [
        part.radiomics
        if part.names
        else np.full((len(part.numbers), len(names)), np.nan)
        for part in parts
    ]
    return Sample(
        numbers=np.concatenate([part.numbers for part in parts]),
        patients=np.concatenate([part.patients for part in parts]),
        deep={
            tap: np.concatenate([part.deep[tap] for part in parts]) for tap in parts[0].deep
        },
        tile_rows=np.concatenate(
            [part.tile_rows + first for part, first in zip(parts, firsts, strict=False)]
        ),
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
        self, settings: EvalConfig, window: Window, extractors: Sequence[Extractor], clock: Clock
    ):
        self.engine = check_engine(settings.radiomics)
        self.roi = "lung"
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
        slices: Sequence[Hu],
        tissues: Sequence[Tissue],
        spacings: Sequence[tuple[float, float]],
        numbers: Sequence[int],
        patients: Sequence[str],
        total: int,
    ) -> Sample:
        """Features of some of a domain's ``total`` chosen slices (HU).

        Tiles and regions depend on ``tissues`` and ``numbers`` alone: a slice and its translations
        are measured in the same places.
        """
        tiles, tile_rows = self._tiles(slices, tissues, numbers, total)
        deep: dict[str, np.ndarray] = {}
        for extractor in self._extractors:
            with self._clock(extractor.title):
                deep |= extractor(tiles, self._window)
        masks = [tissue.core if self.roi == "lung" else tissue.body for tissue in tissues]
        with self._clock("radiomics"):
            names, radiomics = self._radiomics(slices, masks)
        with self._clock("texture"):
            profiles = {
                "glcm": self._grids(np.stack(slices), np.stack(masks)),
                "power": np.stack(
                    [
                        power_profile(hu, tissue, spacing)
                        for hu, tissue, spacing in zip(slices, tissues, spacings, strict=True)
                    ]
                ),
            }
        return Sample(
            np.asarray(numbers, int),
            np.asarray(patients),
            deep,
            tile_rows,
            radiomics,
            names,
            profiles,
        )

    def _tiles(
        self, slices: Sequence[Hu], tissues: Sequence[Tissue], numbers: Sequence[int], total: int
    ) -> tuple[Float[np.ndarray, "t s s"], Int[np.ndarray, "t"]]:
        side, limit = self._settings.tile, self._settings.max_tiles
        share = -(-limit // total) if limit else None
        tiles, rows = [], []
        for row, (hu, tissue, number) in enumerate(zip(slices, tissues, numbers, strict=True)):
            corners = tile_corners(tissue.body, side)
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

    def _grids(
        self, slices: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"]
    ) -> Float[np.ndarray, "n o"]:
        low, high = self._window
        width = (high - low) / (_GLCM.levels - 1)
        shown = masks.any((1, 2))
        grids = np.full((len(slices), len(_GLCM.offsets)), np.nan)
        if not shown.any():
            return grids
        missing = -len(slices) % _BLOCK
        # Filled up to one number of slices, and masks without a pixel with all of them.
        filled = np.pad(slices, ((0, missing), (0, 0), (0, 0)))
        inside = np.pad(masks | ~shown[:, None, None], ((0, missing), (0, 0), (0, 0)), mode="edge")
        made = np.asarray(_contrast(self._window)(jnp.asarray(filled), jnp.asarray(inside)))
        grids[shown] = made[: len(slices)][shown] * width**2
        return grids


@functools.cache
def _contrast(window: Window) -> Callable[[Array, Array], Array]:
    def grid(slices: Float[Array, "n h w"], masks: Bool[Array, "n h w"]) -> Float[Array, "n o"]:
        return glcm_features(normalize(slices, window), _GLCM, mask=masks)["contrast"]

    return jax.jit(grid)


def chunks(numbers: Sequence[int], kinds: Sequence[Hashable]) -> Iterator[list[int]]:
    """``numbers`` cut into runs of at most ``_BLOCK`` slices of one kind."""
    chunk: list[int] = []
    for number in numbers:
        if chunk and (len(chunk) == _BLOCK or kinds[number] != kinds[chunk[0]]):
            yield chunk
            chunk = []
        chunk.append(number)
    yield chunk
