"""The change losses: what translation does to images, against how their domains differ.

An image is described by a vector of cells: texture features of GLCMs at several resolutions,
powers by band of frequency, shares of the image by level of intensity. Unpaired, a translation has
no target to equal; but of one anatomy in two domains s and t, descriptions differ as those of the
domains do at large, m_t - m_s: reconstruction kernels act on powers as factors, whatever the slice
shows. A batch is far too small to know either side, so means are kept over the run, and the
gradient is that of the translations of the batch alone.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Images = Float[Array, "b h w 1"]
Cells = Float[Array, "b f"]

_REAL_MEMORY = 0.9995
_CHANGE_MEMORY = 0.8
"""Short, because the generator changes."""
_LARGEST_GAP = 1.0
_LEAST_COUNT = 1e-9
_LEAST_VARIANCE = 1e-3
"""Of a logarithm between images of a domain; a cell is not trusted beyond 3 %."""
_LEAST_SHARE = 0.005
"""Of an image at a level; below it, levels count less."""


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """One way to describe images, and how its cells are compared and added up."""

    describe: Callable[[Images], Cells]
    """Logarithms where a factor is what matters; the gap of two domains is a difference."""
    cells: int
    aggregation: str
    """Name in ``AGGREGATIONS``, or the trained attention, which a caller applies."""
    shares: bool = False
    """Cells are shares that add up to 1: a gap counts as a part of the mean share of both domains,
    and only between kernels of one scanner, because shares depend on anatomy more than on kernels.
    """


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
    """Decaying sums of one description, over the ``k`` domains and their ordered pairs."""

    real: Float[Array, "k f"]
    real_square: Float[Array, "k f"]
    real_count: Float[Array, "k"]
    change: Float[Array, "k k f"]
    """Of translations less those of their sources, by domains of source and target."""
    change_count: Float[Array, "k k"]

    @classmethod
    def empty(cls, domains: int, cells: int) -> "Memory":
        """Before the first image."""
        shapes = ((domains, cells), (domains, cells), (domains,), (domains, domains, cells))
        return cls(*(jnp.zeros(shape) for shape in (*shapes, (domains, domains))))

    @property
    def mean(self) -> Float[Array, "k f"]:
        """Of the real images of each domain."""
        return self.real / jnp.maximum(self.real_count, 1)[:, None]

    @property
    def variance(self) -> Float[Array, "k f"]:
        """Between the real images of each domain."""
        square = self.real_square / jnp.maximum(self.real_count, 1)[:, None]
        return jnp.maximum(square - jnp.square(self.mean), 0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaps:
    """What an aggregation sees of a batch; gradients run through ``cells`` alone."""

    cells: Cells
    """Half the squared gap of each cell."""
    variance: Cells
    """Between images, source's and target's domain together."""
    difference: Cells
    """Of the two domains."""


def noise_weights(gaps: Gaps) -> Cells:
    """Weights of cells that add up to 1: the inverse of their variance between images.

    Minimum-variance weights of the mean of independent measurements.
    """
    weights = 1 / (gaps.variance + _LEAST_VARIANCE)
    return weights / weights.sum(1, keepdims=True)


def separation_weights(gaps: Gaps) -> Cells:
    """Weights that add up to 1: how well a cell separates the two domains, d'² = Δ² / σ²."""
    weights = jnp.square(gaps.difference) + _LEAST_VARIANCE
    weights /= gaps.variance + _LEAST_VARIANCE
    return weights / weights.sum(1, keepdims=True)


Aggregate = Callable[[Gaps], Float[Array, "b"]]
"""Half squared gaps of a batch -> one number an image."""

AGGREGATIONS: Mapping[str, Aggregate] = {
    "mean": lambda gaps: gaps.cells.mean(1),
    "max": lambda gaps: gaps.cells.max(1),
    "noise": lambda gaps: (gaps.cells * noise_weights(gaps)).sum(1),
    "separation": lambda gaps: (gaps.cells * separation_weights(gaps)).sum(1),
    # Shares add up to one image, so their gaps are averages already.
    "sum": lambda gaps: gaps.cells.sum(1),
}


def remember(
    memory: Memory,
    descriptor: Descriptor,
    source: Images,
    source_domain: Int[Array, "b"],
    references: tuple[Images, Images],
    target_domain: Int[Array, "b"],
    translation: Images,
) -> Memory:
    """The sums with a batch added.

    One-hot products, so that a batch cut over devices needs sums over them and nothing else.
    """
    domains = len(memory.real_count)
    first, second = (jax.nn.one_hot(d, domains) for d in (source_domain, target_domain))
    # All at once, the batch in front, as devices share it.
    together = jnp.stack([source, translation, *references], axis=1)
    described = descriptor.describe(together.reshape(-1, *source.shape[1:]))
    described = described.reshape(len(source), -1, descriptor.cells)
    before, after, others = described[:, 0], described[:, 1], described[:, 2:]

    def real(of: Callable[[Array], Array]) -> Float[Array, "k f"]:
        return first.T @ of(before) + second.T @ of(others).sum(1)

    return Memory(
        _REAL_MEMORY * memory.real + real(lambda cells: cells),
        _REAL_MEMORY * memory.real_square + real(jnp.square),
        _REAL_MEMORY * memory.real_count + first.sum(0) + len(references) * second.sum(0),
        _CHANGE_MEMORY * memory.change + jnp.einsum("bs,bt,bf->stf", first, second, after - before),
        _CHANGE_MEMORY * memory.change_count + first.T @ second,
    )


def change_loss(
    translation: Images,
    source_domain: Int[Array, "b"],
    target_domain: Int[Array, "b"],
    memory: Memory,
    descriptor: Descriptor,
    aggregate: Aggregate,
    same_scanner: Float[Array, "k k"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The loss, and the root mean square of the gaps that it closes.

    The gap of a pair of domains is the mean change that translation made, less m_t - m_s; it is cut
    at ±1. The loss is an aggregate of half the squared gaps. Its gradient is that of gap ·
    description, the gap held fixed: measured on the sums and carried by the batch.
    """
    memory = jax.lax.stop_gradient(memory)
    mean, variance = memory.mean, memory.variance
    made = memory.change / jnp.maximum(memory.change_count, _LEAST_COUNT)[..., None]
    wanted = mean[None] - mean[:, None]
    gap = made - wanted
    if descriptor.shares:
        gap = gap / ((mean[None] + mean[:, None]) / 2 + _LEAST_SHARE) * same_scanner[..., None]
    gap = jnp.clip(gap, -_LARGEST_GAP, _LARGEST_GAP)
    first, second = (jax.nn.one_hot(d, len(mean)) for d in (source_domain, target_domain))

    def of_sample(values: Float[Array, "k k f"]) -> Cells:
        return jnp.einsum("bs,bt,stf->bf", first, second, values)

    found = of_sample(gap)
    described = descriptor.describe(translation)
    cells = jnp.square(found) / 2 + found * (described - jax.lax.stop_gradient(described))
    gaps = Gaps(cells, of_sample(variance[None] + variance[:, None]), of_sample(wanted))
    return aggregate(gaps).mean(), jnp.sqrt(jnp.square(found).mean())
