"""The slices that an evaluation looks at, and which of them are paired."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxharmo.config import Config
from jaxharmo.data.manifest import SPLITS, Domain, choose_domains, read_manifest
from jaxharmo.data.records import SliceHeader
from jaxharmo.data.shards import SliceSource
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
        self._slices = SliceSource(shards, split, domain)
        for item in self._slices:
            self.headers.append(item.header)
            self.shapes.append(item.pixels.shape)
        self._numbers = {
            _key(header, shape): number
            for number, (header, shape) in enumerate(zip(self.headers, self.shapes, strict=True))
        }
        total = len(self.headers)
        count = min(limit, total) if limit > 0 else total
        self.chosen = np.linspace(0, total - 1, count).round().astype(int).tolist()

    def pixels(self, number: int) -> Float[np.ndarray, "h w"]:
        """One slice in HU, float32."""
        return self._slices[number].pixels.astype(np.float32)

    def twin(self, other: "DomainSlices", number: int) -> int | None:
        """Number of the slice here that matches slice ``number`` of ``other`` pixel by pixel.

        The same acquisition at the same position, reconstructed on the same grid.
        """
        return self._numbers.get(_key(other.headers[number], other.shapes[number]))


def _key(header: SliceHeader, shape: tuple[int, ...]) -> tuple:
    lengths = (header.position, *header.spacing)
    return header.acquisition, shape, *(round(length, _DIGITS) for length in lengths)


def open_domains(shards: Path, config: Config, report: Callable[[str], None]) -> list[DomainSlices]:
    """The domains of ``config.data.domains`` (all where empty) in ``config.eval.split``.

    Domains without a slice in the split are left out, and ``report`` is told. Raises ``InputError``
    for a domain that the shard set does not know, and where fewer than two are left.
    """
    split = config.eval.split
    domains = choose_domains(read_manifest(shards), config.data.domains)
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
