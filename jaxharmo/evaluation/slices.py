"""The slices that an evaluation looks at, and which of them are paired."""

from pathlib import Path

import numpy as np
from grain.sources import ArrayRecordDataSource
from jaxtyping import Float

from jaxharmo.config import Config
from jaxharmo.data.manifest import SPLITS, Domain, Manifest, read_manifest, shard_paths
from jaxharmo.data.records import SliceHeader, decode
from jaxharmo.data.shards import read_slices
from jaxharmo.errors import InputError

_DIGITS = 3
"""Lengths that agree to a micrometre are the same."""


class DomainSlices:
    """Random access to the slices of one domain and split.

    ``chosen`` holds the numbers of the slices to evaluate: all, or ``limit`` spread evenly.
    """

    def __init__(self, shards: Path, split: str, domain: Domain, limit: int):
        self.name = domain.name
        self.headers, self.shapes = [], []
        for item in read_slices(shards, split, domain):
            self.headers.append(item.header)
            self.shapes.append(item.pixels.shape)
        paths = shard_paths(shards, split, domain)
        self._records = ArrayRecordDataSource([str(path) for path in paths])
        self._numbers = {
            _key(header, shape): number
            for number, (header, shape) in enumerate(zip(self.headers, self.shapes, strict=True))
        }
        total = len(self.headers)
        count = min(limit, total) if limit > 0 else total
        self.chosen = np.linspace(0, total - 1, count).round().astype(int).tolist()

    def pixels(self, number: int) -> Float[np.ndarray, "h w"]:
        """One slice in HU, float32."""
        return decode(self._records[number]).pixels.astype(np.float32)

    def twin(self, other: "DomainSlices", number: int) -> int | None:
        """Number of the slice here that matches slice ``number`` of ``other`` pixel by pixel.

        The same acquisition at the same position, reconstructed on the same grid.
        """
        return self._numbers.get(_key(other.headers[number], other.shapes[number]))


def _key(header: SliceHeader, shape: tuple[int, ...]) -> tuple:
    lengths = (header.position, *header.spacing)
    return header.acquisition, shape, *(round(length, _DIGITS) for length in lengths)


def open_domains(shards: Path, config: Config) -> list[DomainSlices]:
    """The domains of ``config.data.domains`` (all where empty) in ``config.eval.split``.

    Raises ``InputError`` for a domain that the shard set does not know or that has no slice in the
    split, and for fewer than two domains.
    """
    manifest = read_manifest(shards)
    split = config.eval.split
    domains = _named(manifest, config.data.domains, shards)
    if len(domains) < 2:
        raise InputError(f"{shards}: an evaluation needs two domains; there is {len(domains)}")
    for domain in domains:
        if not domain.slices.get(split):
            others = [name for name in SPLITS if all(d.slices.get(name) for d in domains)]
            raise InputError(
                f"{shards}: domain '{domain.name}' has no slices in the split '{split}'; "
                + (
                    f"try --eval.split {' or '.join(others)}"
                    if others
                    else "no split has all domains"
                )
            )
    return [DomainSlices(shards, split, domain, config.eval.max_slices) for domain in domains]


def _named(manifest: Manifest, names: tuple[str, ...], shards: Path) -> list[Domain]:
    known = {domain.name: domain for domain in manifest.domains}
    for name in names:
        if name not in known:
            raise InputError(f"{shards}: no domain '{name}' in it; it holds {', '.join(known)}")
    return [known[name] for name in names or known]
