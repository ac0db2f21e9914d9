"""The texture of the training domains in a few numbers, to detect what is far from all of them.

The texture of a slice: the robust standard deviation, σ = 1.4826 × median |x|, of three bands of
spatial frequency (differences of Gaussians, about an octave each), in soft tissue and in the lung
off its border; natural logarithms, as noise and kernels act by factors. The median hides edges and
vessels, which are anatomy; soft tissue close to lung and skin is left out for the same reason.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from jaxharmo.data.evenly import evenly
from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError
from jaxharmo.files import write_text
from jaxharmo.ops.tissue import Image, Mask, Tissue, segment
from jaxharmo.typed import build

FILE_NAME = "textures.json"
FORMAT_VERSION = 1
WIDTHS = (0.0, 0.7, 1.4, 2.8)
"""Widths of the Gaussians, pixels; neighbours bound a band."""
FEATURES = tuple(
    f"{region} {fine:g}-{coarse:g} px"
    for region in ("soft tissue", "lung")
    for fine, coarse in itertools.pairwise(WIDTHS)
)
FAR = 3.0
"""Distance beyond which a series counts as unlike a domain."""
SPREAD = 0.2
"""Least standard deviation of a feature within a domain: patients and doses differ at least by so
much, and a training set may hold few of them."""
MARGIN = 5
"""Pixels, about twice the width of the widest Gaussian."""
_SPACING_FACTOR = 1.25
_SLICES = 16
_LOOKED_AT = 8
_LEAST_PIXELS = 500
_LEAST_SD = 0.1

Texture = Float[np.ndarray, "f"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainTexture:
    """Mean and standard deviation of each feature over slices of one domain."""

    mean: tuple[float | None, ...]
    sd: tuple[float | None, ...]
    """At least ``SPREAD``."""
    slices: int
    spacing: tuple[float, float]
    """Smallest and largest distance of pixels, mm."""

    def has_spacing(self, spacing: float) -> bool:
        """Whether pixels at this distance, mm, are like those of the domain."""
        low, high = self.spacing
        return low / _SPACING_FACTOR <= spacing <= high * _SPACING_FACTOR


@dataclasses.dataclass(frozen=True, kw_only=True)
class Textures:
    """The textures that a model was trained on, by domain."""

    window: tuple[float, float]
    """HU to which slices were clipped before they were measured."""
    domains: dict[str, DomainTexture]

    def distance(self, textures: list[Texture], domain: str) -> float:
        """How far slices lie from a domain: the median over them of the RMS of their z scores."""
        mean, sd = (
            np.array(values, np.float64)
            for values in (self.domains[domain].mean, self.domains[domain].sd)
        )
        squares = [((texture - mean) / sd) ** 2 for texture in textures]
        known = [square[np.isfinite(square)] for square in squares]
        distances = [math.sqrt(values.mean()) for values in known if values.size]
        return float(np.median(distances)) if distances else math.nan

    def nearest(self, textures: list[Texture]) -> tuple[str, float]:
        """The domain nearest to slices, and its distance (NaN where they show no tissue)."""
        distances = {name: self.distance(textures, name) for name in self.domains}
        name = min(distances, key=lambda name: np.nan_to_num(distances[name], nan=math.inf))
        return name, distances[name]

    def recognise(self, slices: Iterable[Image], spacing: float) -> str:
        """The domain whose texture is nearest to that of slices, HU; empty where none shows tissue.

        However far it lies; but among those with pixels like these, ``spacing`` mm, if there are.
        """
        alike = {name: each for name, each in self.domains.items() if each.has_spacing(spacing)}
        among = dataclasses.replace(self, domains=alike or self.domains)
        name, distance = among.nearest([texture(hu, segment(hu), self.window) for hu in slices])
        return name if math.isfinite(distance) else ""

    def has_spacing(self, spacing: float) -> bool:
        """Whether pixels at this distance, mm, are like those of some training domain."""
        return any(domain.has_spacing(spacing) for domain in self.domains.values())


def looked_at(count: int) -> Int[np.ndarray, "n"]:
    """The slices of a series of ``count`` that stand for its texture: at most 8, evenly spread."""
    return evenly(count, _LOOKED_AT)


def texture(hu: Image, tissue: Tissue, window: tuple[float, float]) -> Texture:
    """The features of one slice, in the order of ``FEATURES``; NaN where a region is too small."""
    image = np.clip(hu, *window).astype(np.float32)
    regions = (deep(tissue), tissue.core)
    smooth = [ndimage.gaussian_filter(image, width) if width else image for width in WIDTHS]
    bands = [fine - coarse for fine, coarse in itertools.pairwise(smooth)]
    return np.array(
        [
            math.log(max(robust_sd(band[mask]), _LEAST_SD))
            if mask.sum() >= _LEAST_PIXELS
            else math.nan
            for mask in regions
            for band in bands
        ]
    )


def deep(tissue: Tissue) -> Mask:
    """Soft tissue more than ``MARGIN`` pixels from lung and from the body's surface."""
    inside = tissue.body & ~tissue.lung
    return tissue.soft & (np.asarray(ndimage.distance_transform_edt(inside)) > MARGIN)


def robust_sd(values: Float[np.ndarray, "n"]) -> float:
    """1.4826 × median |x|: the standard deviation of zero-mean normal values, blind to outliers."""
    return 1.4826 * float(np.median(np.abs(values)))


def measure_shards(shards: Path, domains: tuple[str, ...], window: tuple[float, float]) -> Textures:
    """Textures of the training slices of a shard set, at most 16 a domain, evenly spread.

    Raises ``InputError`` where the set, or a domain's slices, are not there.
    """
    found = {}
    for domain in choose_domains(read_manifest(shards), domains):
        source = SliceSource(shards, "train", domain)
        if not source:
            raise InputError(f"{shards}: no training slices of '{domain.name}'")
        numbers = evenly(len(source), _SLICES)
        slices = [source[int(number)] for number in numbers]
        images = [item.pixels.astype(np.float32) for item in slices]
        spacings = [length for item in slices for length in item.header.spacing]
        found[domain.name] = describe(images, spacings, window)
    return Textures(window=window, domains=found)


def describe(
    slices: Iterable[Image], spacings: list[float], window: tuple[float, float]
) -> DomainTexture:
    """The texture of a domain from slices of it, HU, and the distances of their pixels, mm."""
    table = np.stack([texture(hu, segment(hu), window) for hu in slices])
    known = np.isfinite(table)
    count = known.sum(0)
    values = np.where(known, table, 0)
    mean = values.sum(0) / np.maximum(count, 1)
    variance = (np.where(known, table - mean, 0) ** 2).sum(0) / np.maximum(count - 1, 1)
    sd = np.maximum(np.sqrt(variance), SPREAD)
    return DomainTexture(
        mean=_known(mean, count),
        sd=_known(sd, count),
        slices=len(table),
        spacing=(min(spacings), max(spacings)),
    )


def _known(values: Float[np.ndarray, "f"], count: np.ndarray) -> tuple[float | None, ...]:
    return tuple(
        round(float(value), 4) if number else None
        for value, number in zip(values, count, strict=True)
    )


def write_textures(folder: Path, textures: Textures) -> None:
    """Write ``textures.json``, atomically."""
    content = {"format_version": FORMAT_VERSION, "features": FEATURES}
    content |= dataclasses.asdict(textures)
    write_text(folder / FILE_NAME, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_textures(folder: Path) -> Textures | None:
    """What ``write_textures`` wrote; None where nothing, or of another version, is there."""
    try:
        content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        version, names = content.pop("format_version"), content.pop("features")
        if version == FORMAT_VERSION and tuple(names) == FEATURES:
            return build(Textures, content, FILE_NAME)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, InputError):
        pass
    return None
