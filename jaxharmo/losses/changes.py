"""The change losses: what translation does to images, against how their domains differ.

An image is described by a vector of cells: texture features of GLCMs at several resolutions, power
in bands of frequency, or shares of the image by level of intensity. In unpaired training, a
translation has no target image. But for the same anatomy in two domains s and t, descriptions
differ on average by the difference of the domains, m_t - m_s, because a reconstruction kernel
multiplies powers by factors, whatever the slice shows. A batch is too small to estimate either
side: m_s and m_t are means over the training slices, taken before the first step, and those of
changes are kept over the run. The gradient comes from the translations of the batch.

Scanners differ in their pixels, so there m_s and m_t are means on one grid
(``training/domains.py``).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Images = Float[Array, "b h w 1"]
Cells = Float[Array, "b f"]

_CHANGE_MEMORY = 0.8
"""Short, because the generator changes."""
LARGEST_GAP = 1.0
_LEAST_COUNT = 1e-9
_NOISE_MEMORY = 0.98
_LEAST_NOISE = 1e-2
"""Least variance of a change of a logarithm: no cell counts as more precise than 10 %."""
_LEAST_RECENT = 0.3
"""Below this count of changes of a pair, their mean is too old to compare with."""
_LARGEST_SHARE = 0.999
"""Of rounding in the power of a cell."""
_LEAST_SHARE = 0.005
"""Share of an image at a level, below which the level counts less."""


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """One way to describe images, and how its cells are compared and added up."""

    describe: Callable[[Images], Cells]
    """Images to cells; logarithms, if kernels change them by factors: gaps are differences."""
    cells: int
    aggregation: str
    """Name in ``AGGREGATIONS``, or ``attention``, which the caller applies."""
    shares: bool = False
    """Cells are shares that add up to 1; gaps are relative to the mean share of both domains."""
    between: bool = True
    """Used between scanners too, not only between kernels of one."""
    rounding: float = -math.inf
    """Value of a cell, a logarithm, if an image had no power but that of rounding to whole HU."""

    def used(self, same_scanner: Float[Array, "k k"]) -> Float[Array, "k k"]:
        """1 for the pairs of domains that are compared by this description."""
        return same_scanner + self.between * (1 - same_scanner)

    def rounding_gap(self, mean: Float[Array, "... f"]) -> Float[Array, "... f"]:
        """How far a gap is off because a filter amplifies rounding errors of its source.

        They are no part of how domains differ: if they are the share q of the source's power, the
        gap is off by log(1 - q). ``mean`` is that of the source's cells.
        """
        share = jnp.minimum(jnp.exp(self.rounding - mean), _LARGEST_SHARE)
        return jnp.log1p(-share)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
    """One description: of the ``k`` domains, and decaying sums over their ordered pairs."""

    mean: Float[Array, "k f"]
    """Of the real images of each domain."""
    variance_of_real: Float[Array, "k f"]
    """Between the real images of each domain."""
    wanted: Float[Array, "k k f"]
    """How the domains of each pair differ, m_t - m_s."""
    change: Float[Array, "k k f"]
    """Cells of translations minus those of their sources, by source and target domain."""
    change_count: Float[Array, "k k"]
    noise: Float[Array, "k k f"]
    """Squared differences of a change and the mean change before it."""
    noise_count: Float[Array, "k k"]

    @classmethod
    def start(
        cls,
        mean: Float[Array, "k f"],
        variance: Float[Array, "k f"],
        wanted: Float[Array, "k k f"] | None = None,
    ) -> "Memory":
        """Before the first translation, from mean and variance of each domain's real images.

        Without ``wanted``, domains differ as their means do.
        """
        domains, cells = mean.shape
        pairs = ((domains, domains, cells), (domains, domains))
        differences = mean[None] - mean[:, None] if wanted is None else wanted
        return cls(mean, variance, differences, *(jnp.zeros(shape) for shape in (*pairs, *pairs)))

    @classmethod
    def empty(cls, domains: int, cells: int) -> "Memory":
        """Before the real images of the domains are described."""
        zeros = jnp.zeros((domains, cells))
        return cls.start(zeros, zeros)

    @property
    def mean_change(self) -> Float[Array, "k k f"]:
        """Of each pair of domains."""
        return self.change / jnp.maximum(self.change_count, _LEAST_COUNT)[..., None]

    @property
    def anatomy(self) -> Float[Array, "k k f"]:
        """Variance between real images, of both domains of a pair together."""
        return self.variance_of_real[None] + self.variance_of_real[:, None]

    @property
    def change_noise(self) -> Float[Array, "k k f"]:
        """Variance of the changes of each pair, about their mean."""
        return self.noise / jnp.maximum(self.noise_count, _LEAST_COUNT)[..., None]

    def variance(
        self, same_scanner: Float[Array, "k k"], descriptor: Descriptor
    ) -> Float[Array, "k k f"]:
        """Of the gap of each pair.

        Kernels of one scanner image the same patients. Two scanners do not, so anatomy adds to it.
        """
        rounding = jnp.square(descriptor.rounding_gap(self.mean))[:, None]
        return self.change_noise + rounding + (1 - same_scanner[..., None]) * self.anatomy


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaps:
    """Input of an aggregation for a batch; only ``cells`` has a gradient."""

    cells: Cells
    """Half the squared gap of each cell."""
    variance: Cells
    """Of the gap."""
    difference: Cells
    """Of the two domains."""


def noise_weights(gaps: Gaps) -> Cells:
    """Weights of cells that add up to 1: the inverse of the variance of their gap.

    Minimum-variance weights of the mean of independent measurements.
    """
    return _normalised(1 / (gaps.variance + _LEAST_NOISE))


def separation_weights(gaps: Gaps) -> Cells:
    """Weights that add up to 1: the detectability of the difference, d'² = Δ² / σ²."""
    return _normalised(
        (jnp.square(gaps.difference) + _LEAST_NOISE) / (gaps.variance + _LEAST_NOISE)
    )


WEIGHTS: Mapping[str, Callable[[Gaps], Cells]] = {
    "noise": noise_weights,
    "separation": separation_weights,
}
"""Aggregations whose weights are measured during the run."""


def _normalised(weights: Cells) -> Cells:
    return weights / weights.sum(1, keepdims=True)


def _weighted(weights: Callable[[Gaps], Cells], gaps: Gaps) -> Float[Array, "b"]:
    return (gaps.cells * weights(gaps)).sum(1)


Aggregate = Callable[[Gaps], Float[Array, "b"]]
"""Half squared gaps of a batch -> one number an image."""

AGGREGATIONS: Mapping[str, Aggregate] = {
    "mean": lambda gaps: gaps.cells.mean(1),
    "max": lambda gaps: gaps.cells.max(1),
    **{name: partial(_weighted, weights) for name, weights in WEIGHTS.items()},
    # Shares add up to one image, so their gaps are averages already.
    "sum": lambda gaps: gaps.cells.sum(1),
}


def remember(
    memories: Mapping[str, Memory],
    before: Mapping[str, Cells],
    after: Mapping[str, Cells],
    source_domain: Int[Array, "b"],
    target_domain: Int[Array, "b"],
) -> dict[str, Memory]:
    """The sums with a batch added, as descriptors describe it before and after its translation.

    One product with one-hot vectors for all: of a sharded batch, one sum over the devices.
    """
    domains = len(next(iter(memories.values())).mean)
    first, second = (jax.nn.one_hot(d, domains) for d in (source_domain, target_domain))
    of_pairs = partial(_of_pairs, first, second)
    columns = [
        _columns(memory, jax.lax.stop_gradient(after[name] - before[name]), of_pairs)
        for name, memory in memories.items()
    ]
    sums = jnp.einsum("bs,bt,bf->stf", first, second, jnp.concatenate(columns, 1))
    ends = np.cumsum([part.shape[1] for part in columns])[:-1]
    parts = jnp.split(sums, ends, axis=-1)
    return {
        name: _added(memory, part)
        for (name, memory), part in zip(memories.items(), parts, strict=True)
    }


def _columns(memory: Memory, change: Cells, of_pairs: Callable[[Array], Cells]) -> Cells:
    """What is summed over a batch: changes, squares about the mean so far, and both counts."""
    known = of_pairs((memory.change_count > _LEAST_RECENT).astype(jnp.float32)[..., None])
    square = jnp.square(change - of_pairs(memory.mean_change)) * known
    return jnp.concatenate([change, square, jnp.ones_like(known), known], 1)


def _added(memory: Memory, sums: Float[Array, "k k n"]) -> Memory:
    """With the sums of the ``_columns`` of a batch."""
    cells = memory.mean.shape[1]
    return dataclasses.replace(
        memory,
        change=_CHANGE_MEMORY * memory.change + sums[..., :cells],
        noise=_NOISE_MEMORY * memory.noise + sums[..., cells : 2 * cells],
        change_count=_CHANGE_MEMORY * memory.change_count + sums[..., -2],
        noise_count=_NOISE_MEMORY * memory.noise_count + sums[..., -1],
    )


def _of_pairs(
    first: Float[Array, "b k"], second: Float[Array, "b k"], values: Float[Array, "k k f"]
) -> Cells:
    """The values of every sample's pair of domains, which are one-hot."""
    return jnp.einsum("bs,bt,stf->bf", first, second, values)


def share_scale(first: Array, second: Array) -> Array:
    """What gaps of shares are relative to, from the mean shares of both sides."""
    return (first + second) / 2 + _LEAST_SHARE


def change_loss(
    described: Cells,
    source_domain: Int[Array, "b"],
    target_domain: Int[Array, "b"],
    memory: Memory,
    descriptor: Descriptor,
    aggregate: Aggregate,
    same_scanner: Float[Array, "k k"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The loss of translations, as they are described, and the root mean square of its gaps.

    The gap of a pair of domains is the mean change by translation minus m_t - m_s, clipped at ±1.
    The loss is an aggregate of half the squared gaps. The gap is measured on the sums and constant
    in the gradient, gap · ∂description, which comes from the batch.
    """
    memory = jax.lax.stop_gradient(memory)
    mean = memory.mean
    gap = memory.mean_change - memory.wanted
    if descriptor.shares:
        gap = gap / share_scale(mean[None], mean[:, None])
    gap = jnp.clip(gap, -LARGEST_GAP, LARGEST_GAP) * descriptor.used(same_scanner)[..., None]
    first, second = (jax.nn.one_hot(d, len(mean)) for d in (source_domain, target_domain))
    of_pairs = partial(_of_pairs, first, second)
    found = of_pairs(gap)
    cells = jnp.square(found) / 2 + found * (described - jax.lax.stop_gradient(described))
    variance = memory.variance(same_scanner, descriptor)
    gaps = Gaps(cells, of_pairs(variance), of_pairs(memory.wanted))
    return aggregate(gaps).mean(), jnp.sqrt(jnp.square(found).mean())
