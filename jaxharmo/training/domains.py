"""How the training slices of each domain are described, before the first step."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int16

from jaxharmo.config import Config, FilterGenerator
from jaxharmo.losses.changes import Memory
from jaxharmo.losses.descriptors import DESCRIPTORS
from jaxharmo.ops.intensity import normalize
from jaxharmo.training.terms import Changes, remembered, same_scanner

_AT_ONCE = 16
"""Images, to bound memory."""
_GRID = 1.02
"""Ratio of neighbouring grids, on which domains of different scanners are compared."""

Crops = Int16[np.ndarray, "n c c"]
Moments = tuple[Float[np.ndarray, "f"], Float[np.ndarray, "f"]]
PixelOf = Callable[[int], float]
"""Number of a domain -> mean side of a pixel, mm."""


class CropsOf(Protocol):
    """Number of a domain -> crops of its training slices, HU."""

    def __call__(self, number: int, pixel: float = 0.0) -> Crops:
        """Slices with finer pixels than ``pixel``, mm, are resampled to it first."""
        ...


def reaching(config: Config, pixels: Sequence[float]) -> Config:
    """For domains with ``pixels``, mm: filters in mm reach as far as the finest of them resolve."""
    generator = config.model.generator
    if not isinstance(generator, FilterGenerator) or not generator.in_mm or generator.pixel:
        return config
    found = dataclasses.replace(generator, pixel=min(pixels))
    return dataclasses.replace(config, model=dataclasses.replace(config.model, generator=found))


def describe_domains(config: Config, crops_of: CropsOf, pixel_of: PixelOf) -> Changes:
    """The memories of all change losses: of every domain its mean and variance, and differences.

    Domains differ as the means of their crops do. Two scanners are compared at the coarser pixel
    of both, because a translation keeps the pixels of its source.
    """
    names = remembered(config)
    if not names:
        return {}
    moments = _describer(config, names)
    domains = range(len(config.data.domains))
    alone = [moments(crops_of(number)) for number in domains]
    mean, variance = (
        {name: np.stack([found[name][part] for found in alone]) for name in names}
        for part in (0, 1)
    )
    wanted = {name: mean[name][None] - mean[name][:, None] for name in names}
    together = same_scanner(config)
    at_pixel = cache(lambda number, grid: moments(crops_of(number, _GRID**grid)))
    for of, to in itertools.combinations(domains, 2):
        if together[of, to]:
            continue
        grid = max(round(np.log(pixel_of(number)) / np.log(_GRID)) for number in (of, to))
        first, second = at_pixel(of, grid), at_pixel(to, grid)
        for name in names:
            difference = second[name][0] - first[name][0]
            wanted[name][of, to], wanted[name][to, of] = difference, -difference
    single = lambda values: jnp.asarray(values, jnp.float32)  # noqa: E731
    return {
        name: Memory.start(*map(single, (mean[name], variance[name], wanted[name])))
        for name in names
    }


def _describer(config: Config, names: tuple[str, ...]) -> Callable[[Crops], dict[str, Moments]]:
    """A function of crops, HU: mean and variance of every cell, by the name of the descriptor."""
    descriptors = {name: DESCRIPTORS[name](config) for name in names}

    @jax.jit
    def describe(pixels: Int16[Array, "b c c"]) -> dict[str, Float[Array, "b f"]]:
        images = normalize(pixels, config.data.window)[..., None]
        return {name: each.describe(images) for name, each in descriptors.items()}

    def moments(crops: Crops) -> dict[str, Moments]:
        # One shape for all calls: the last is filled up from the front.
        numbers = np.arange(0, len(crops), _AT_ONCE)[:, None] + np.arange(_AT_ONCE)
        found = [describe(crops[some % len(crops)]) for some in numbers]
        cells = {
            name: np.concatenate([each[name] for each in found])[: len(crops)].astype(np.float64)
            for name in names
        }
        return {name: (rows.mean(0), rows.var(0)) for name, rows in cells.items()}

    return moments
