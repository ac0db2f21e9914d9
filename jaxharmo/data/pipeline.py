"""Shards -> training batches: balanced domains, a source and two references an example.

Example n of a run is a function of the seed and n alone: it draws a source domain, a target domain
and slices of each, uniformly and with replacement (as StarGAN v2's weighted sampler does), then
crops and flips. So a run goes on where it stopped by starting at the next number, and the global
batches do not depend on how many processes share them.

Crops and flips happen on the host: a crop is a view, and what it leaves out need not travel. int16
HU travel; the window is applied on the device. Spacing is settled once, when a set is prepared.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypedDict, cast

import grain
import numpy as np
from jaxtyping import Float, Float32, Int16, Int32

from jaxharmo.config import DataConfig
from jaxharmo.data.coarsening import coarsened
from jaxharmo.data.evenly import evenly
from jaxharmo.data.manifest import Domain
from jaxharmo.data.prepare.domains import scanner_of
from jaxharmo.data.records import Slice
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError

_EVEN = list(itertools.product((np.arange(4) + 0.5) / 4, repeat=2))
"""Places of a crop's corner, as shares of its range along both axes."""
_MIDDLE = [(0.5, 0.5)]


class Batch(TypedDict):
    """One training batch; pixels in HU."""

    source: Int16[np.ndarray, "b h w"]
    source_domain: Int32[np.ndarray, "b"]
    source_pixel: Float32[np.ndarray, "b"]
    """Mean side of the source's pixels, mm."""
    reference: Int16[np.ndarray, "b 2 h w"]
    """Two slices of the target domain."""
    target_domain: Int32[np.ndarray, "b"]


@dataclasses.dataclass(frozen=True)
class Share:
    """The part of every global batch that this process reads."""

    process: int = 0
    processes: int = 1


def training_batches(
    shards: Path,
    domains: tuple[Domain, ...],
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    first_batch: int = 0,
    share: Share | None = None,
    pixels: Sequence[float] = (),
) -> Iterator[Batch]:
    """Batches without end from ``first_batch`` on; ``batch_size`` is the global one.

    With ``pixels``, those of each domain, mm, a source that goes to another scanner has the coarser
    pixel of both domains: no finer one can show how they differ.

    Raises ``InputError`` for a domain without training slices or a batch that the processes cannot
    share evenly.
    """
    share = share or Share()
    local = batch_size // share.processes
    if local * share.processes != batch_size:
        raise InputError(
            f"--train.batch-size {batch_size} does not divide among {share.processes} processes"
        )
    sources = _training_slices(shards, domains)
    sampler = _Sampler(sources, config, seed, _coarser(domains, pixels))

    def example(index: int) -> Batch:
        batch, row = divmod(index, local)
        return sampler(batch * batch_size + share.process * local + row)

    numbers = grain.MapDataset.range(first_batch * local, np.iinfo(np.int64).max)
    read = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4 * local)
    return iter(numbers.map(example).to_iter_dataset(read).batch(local))


def grouped(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """``count`` batches at a time, along a second axis of every array; 1 leaves them as they are.

    The first axis stays the one that devices share.
    """
    if count == 1:
        yield from batches
        return
    while group := list(itertools.islice(batches, count)):
        yield cast(Batch, {name: np.stack([b[name] for b in group], axis=1) for name in group[0]})


def sample_sources(
    shards: Path, domains: tuple[Domain, ...], config: DataConfig, multiple: int
) -> Int16[np.ndarray, "k s s"]:
    """The middle training slice of every domain, whole, filled up to one square size in HU.

    The size is a multiple of ``multiple`` and no smaller than a training crop.
    """
    slices = [source[len(source) // 2] for source in _training_slices(shards, domains)]
    longest = max(config.crop, *(side for item in slices for side in item.pixels.shape))
    whole = dataclasses.replace(
        config, crop=math.ceil(longest / multiple) * multiple, crop_position="center"
    )
    return np.stack([crop(item, whole, np.random.default_rng(0)) for item in slices])


def even_crops(
    shards: Path, domain: Domain, config: DataConfig, most: int = 600, pixel: float = 0.0
) -> Int16[np.ndarray, "n s s"]:
    """At most ``most`` crops of a domain's training slices: HU, evenly over slices and positions.

    Slices with finer pixels than ``pixel``, mm, are resampled to it first.

    They stand for the crops of training batches, which are drawn: the same positions are possible,
    and half are mirrored. No draw decides what a mean over them is.
    """
    (source,) = _training_slices(shards, (domain,))
    positions = _EVEN if config.crop_position == "random" else _MIDDLE
    every = list(itertools.product(range(len(positions)), range(len(source))))
    chosen = evenly(len(every), most)
    crops = []
    for place, number in (every[index] for index in chosen):
        pixels, ranges = _padded(coarsened(source[number], pixel), config)
        corner = (
            round(first + share * (last - first))
            for share, (first, last) in zip(positions[place], ranges, strict=True)
        )
        square = _cut(pixels, corner, config.crop)
        crops.append(square[:, ::-1] if config.flip and (place + number) % 2 else square)
    return np.stack(crops)


@dataclasses.dataclass(frozen=True)
class DomainCrops:
    """What each domain is described by, given its number."""

    shards: Path
    domains: tuple[Domain, ...]
    config: DataConfig

    def __call__(self, number: int, pixel: float = 0.0) -> Int16[np.ndarray, "n s s"]:
        """Crops of its training slices; see ``even_crops``."""
        return even_crops(self.shards, self.domains[number], self.config, pixel=pixel)

    @cached_property
    def pixels(self) -> tuple[float, ...]:
        """``pixel`` of every domain."""
        return tuple(self.pixel(number) for number in range(len(self.domains)))

    def pixel(self, number: int, most: int = 600) -> float:
        """Mean side of a pixel over at most ``most`` training slices, mm."""
        (source,) = _training_slices(self.shards, (self.domains[number],))
        chosen = evenly(len(source), most)
        return float(np.mean([source[each].header.spacing for each in chosen]))


def _training_slices(shards: Path, domains: tuple[Domain, ...]) -> list[SliceSource]:
    sources = [SliceSource(shards, "train", domain) for domain in domains]
    for domain, source in zip(domains, sources, strict=True):
        if not source:
            raise InputError(f"{shards}: no training slices of '{domain.name}'; leave it out")
    return sources


def _coarser(domains: tuple[Domain, ...], pixels: Sequence[float]) -> Float[np.ndarray, "k k"]:
    """Of each pair of domains of two scanners, the coarser pixel, mm; 0 for others."""
    if not pixels:
        return np.zeros((len(domains), len(domains)))
    scanners = np.array([scanner_of(domain.name) for domain in domains])
    return np.where(scanners[:, None] == scanners, 0.0, np.maximum.outer(pixels, pixels))


class _Sampler:
    def __init__(
        self,
        sources: list[SliceSource],
        config: DataConfig,
        seed: int,
        coarser: Float[np.ndarray, "k k"],
    ):
        self._sources, self._config, self._seed = sources, config, seed
        self._coarser = coarser

    def __call__(self, number: int) -> Batch:
        random = np.random.default_rng((self._seed, number))
        source_domain, target_domain = random.integers(len(self._sources), size=2)
        pixel = float(self._coarser[source_domain, target_domain])
        source, side = self._read(source_domain, random, pixel)
        return Batch(
            source=source,
            source_domain=np.asarray(source_domain, np.int32),
            source_pixel=np.asarray(side, np.float32),
            reference=np.stack([self._read(target_domain, random)[0] for _ in range(2)]),
            target_domain=np.asarray(target_domain, np.int32),
        )

    def _read(
        self, domain: int, random: np.random.Generator, pixel: float = 0.0
    ) -> tuple[Int16[np.ndarray, "h w"], float]:
        """A crop, and the side of its pixels."""
        source = self._sources[domain]
        item = coarsened(source[random.integers(len(source))], pixel)
        pixels = crop(item, self._config, random)
        mirrored = self._config.flip and random.random() < 0.5
        return pixels[:, ::-1] if mirrored else pixels, float(np.mean(item.header.spacing))


def crop(item: Slice, config: DataConfig, random: np.random.Generator) -> Int16[np.ndarray, "h w"]:
    """A square of ``config.crop`` pixels; what lies outside the slice is filled with the floor.

    A random square lies in the body's bounding box, or contains it along an axis where the box is
    the smaller.
    """
    pixels, ranges = _padded(item, config)
    corner = (int(random.integers(first, last + 1)) for first, last in ranges)
    return _cut(pixels, corner, config.crop)


def _padded(
    item: Slice, config: DataConfig
) -> tuple[Int16[np.ndarray, "h w"], list[tuple[int, int]]]:
    """The slice, filled up to a crop, and by axis the first and last place of a crop's corner."""
    size, pixels = config.crop, item.pixels
    missing = [max(0, size - length) for length in pixels.shape]
    if any(missing):
        padding = [(m // 2, m - m // 2) for m in missing]
        pixels = np.pad(pixels, padding, constant_values=round(config.window[0]))
    ranges = []
    for axis, length in enumerate(pixels.shape):
        if config.crop_position == "center":
            ranges.append(((length - size) // 2,) * 2)
            continue
        shift = missing[axis] // 2
        low, high = item.header.body[axis] + shift, item.header.body[axis + 2] + shift
        first, last = np.clip(sorted((low, high - size)), 0, length - size)
        ranges.append((int(first), int(last)))
    return pixels, ranges


def _cut(
    pixels: Int16[np.ndarray, "h w"], corner: Iterable[int], size: int
) -> Int16[np.ndarray, "s s"]:
    top, left = corner
    return pixels[top : top + size, left : left + size]
