"""The slices of an evaluation: which are paired, and of which patient."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.config import Config
from jaxharmo.data.manifest import SPLITS, Domain, choose_domains, read_manifest
from jaxharmo.data.records import SliceHeader, encode
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError

_DIGITS = 3
"""Lengths that agree to a micrometre are the same."""
_LOOKED_AT = 16
"""Slices of a domain whose size is checked before a training; an evaluation checks all."""


class DomainSlices:
    """Random access to the slices of one domain and split.

    ``chosen`` holds the numbers of the slices to evaluate: all, or ``limit`` spread evenly.
    """

    def __init__(self, shards: Path, split: str, domain: Domain, limit: int = 0):
        self.name, self.slug, self.split = domain.name, domain.slug, split
        self._slices = SliceSource(shards, split, domain)
        total = len(self._slices)
        self.chosen = spread(total, min(limit, total) if limit > 0 else total)

    def __len__(self) -> int:
        return len(self._slices)

    @cached_property
    def _scan(self) -> "_Scan":
        """One pass over all slices, made when anything but pixels is first needed."""
        headers, shapes, digest = [], [], hashlib.sha256()
        for item in self._slices:
            headers.append(item.header)
            shapes.append(item.pixels.shape)
            digest.update(encode(item))
        numbers = {
            _key(header, shape): number
            for number, (header, shape) in enumerate(zip(headers, shapes, strict=True))
        }
        return _Scan(headers, shapes, numbers, digest.hexdigest())

    @property
    def headers(self) -> list[SliceHeader]:
        """Header of every slice."""
        return self._scan.headers

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Rows and columns of every slice."""
        return self._scan.shapes

    @property
    def grids(self) -> list[tuple]:
        """Shape and spacing of every slice: slices of one grid go through a method together."""
        return [
            (shape, header.spacing) for shape, header in zip(self.shapes, self.headers, strict=True)
        ]

    @property
    def digest(self) -> str:
        """SHA-256 of all headers and pixels, hexadecimal."""
        return self._scan.digest

    def pixels(self, number: int) -> Float[np.ndarray, "h w"]:
        """One slice in HU, float32."""
        return self._slices[number].pixels.astype(np.float32)

    def header(self, number: int) -> SliceHeader:
        """Header of one slice, which is read anew."""
        return self._slices[number].header

    def twin(self, other: "DomainSlices", number: int) -> int | None:
        """Number of the slice here that matches slice ``number`` of ``other`` pixel by pixel.

        The same acquisition at the same position, reconstructed on the same grid.
        """
        return self._scan.numbers.get(_key(other.headers[number], other.shapes[number]))


def twins(
    source: DomainSlices, target: DomainSlices, numbers: Sequence[int]
) -> tuple[int | None, ...]:
    """For each of these slices of ``source`` its twin in ``target``."""
    return tuple(target.twin(source, number) for number in numbers)


class _Scan(NamedTuple):
    headers: list[SliceHeader]
    shapes: list[tuple[int, ...]]
    numbers: dict[tuple, int]
    digest: str


def spread(total: int, count: int) -> list[int]:
    """``count`` of the numbers below ``total``, evenly spread, both ends among them."""
    return np.linspace(0, max(total - 1, 0), count).round().astype(int).tolist()


def _key(header: SliceHeader, shape: tuple[int, ...]) -> tuple:
    lengths = (header.position, *header.spacing)
    return header.acquisition, shape, *(round(length, _DIGITS) for length in lengths)


def open_domains(shards: Path, config: Config, report: Callable[[str], None]) -> list[DomainSlices]:
    """The domains of ``config.eval.domains``, or of the run, in ``config.eval.split``.

    Domains without a slice in the split are left out and reported. Raises ``InputError``
    for a domain that is not in the run or the shard set, and where fewer than two are left.
    """
    split = config.eval.split
    wanted = config.eval.domains or config.data.domains
    foreign = [name for name in wanted if config.data.domains and name not in config.data.domains]
    if foreign:
        known = ", ".join(sorted(config.data.domains))
        raise InputError(f"no domain '{foreign[0]}' in this run; there are: {known}")
    domains = choose_domains(read_manifest(shards), wanted)
    held = [domain for domain in domains if domain.slices.get(split)]
    if len(held) < 2:
        others = [name for name in SPLITS if sum(bool(d.slices.get(name)) for d in domains) > 1]
        raise InputError(
            f"{shards}: {len(held)} of {len(domains)} domains have slices in the split '{split}', "
            f"an evaluation needs two; splits with two or more: {', '.join(others) or 'none'}"
        )
    for domain in domains:
        if domain not in held:
            report(f"warning: '{domain.name}' has no slices in the split '{split}'; left out")
    return [DomainSlices(shards, split, domain, config.eval.max_slices) for domain in held]


def choose_targets(wanted: tuple[str, ...], domains: Sequence[DomainSlices]) -> set[str]:
    """Names of the domains to translate to; ``InputError`` for one that is not evaluated."""
    names = {domain.name for domain in domains}
    unknown = sorted(set(wanted) - names)
    if unknown:
        raise InputError(
            f"--eval.targets: no domain '{unknown[0]}'; there are: {', '.join(sorted(names))}"
        )
    return set(wanted) or names


def check_tile(tile: int, shapes: Iterable[tuple[int, ...]]) -> None:
    """Raise ``InputError`` where a tile is larger than a slice; ``shapes``: rows and columns."""
    for height, width in shapes:
        if min(height, width) < tile:
            raise InputError(
                f"--eval.tile {tile} is larger than a slice of {height}×{width} pixels; "
                f"choose at most {min(height, width)}"
            )


def check_evaluable(shards: Path, config: Config) -> None:
    """Raise ``InputError`` for settings that an evaluation after the training would refuse.

    Of each domain it reads a few slices only: a small one among large ones may be overlooked.
    """
    domains = open_domains(shards, config, report=lambda _: None)
    choose_targets(config.eval.targets, domains)
    for domain in domains:
        some = spread(len(domain), min(len(domain), _LOOKED_AT))
        check_tile(config.eval.tile, (domain.pixels(number).shape for number in some))


def open_training(shards: Path, evaluated: list[DomainSlices]) -> list[DomainSlices]:
    """For each domain the slices that baselines are fitted on and references are drawn from.

    Those of its training split; where it has none, those that are evaluated.
    """
    by_name = {domain.name: domain for domain in read_manifest(shards).domains}
    return [
        DomainSlices(shards, "train", by_name[domain.name])
        if domain.split != "train" and by_name[domain.name].slices.get("train")
        else domain
        for domain in evaluated
    ]
