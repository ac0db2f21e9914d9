"""The change losses: what translation does to images, against how their domains differ.

An image is described by its spectrum (logarithms of radial power) and by the histogram of its
intensities. Unpaired, a translation has no target to equal; but of one anatomy in two domains s and
t, descriptions differ as those of the domains do at large, m_t - m_s: reconstruction kernels act on
powers as factors, whatever the slice shows. A batch is far too small to tell either side, so means
are kept over the run, and the gradient is that of the translations of the batch alone.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxharmo.ops.binning import Binning, weights
from jaxharmo.ops.blur import binomial_blur
from jaxharmo.ops.spectrum import radial_power

Images = Float[Array, "b h w 1"]

BANDS = 23
LEVELS = 56
"""Of the histogram, evenly over [-1, 1]."""
_BINNING = Binning(
    kind="linear", levels=LEVELS, value_range=(-1.0, 1.0), sigma=0.0, normalised=True
)
_REAL_MEMORY = 0.9995
_CHANGE_MEMORY = 0.97
"""Short, because the generator changes."""
_LARGEST_GAP = 1.0
_LEAST_POWER = 1e-9
"""In [-1, 1] units squared; far below the rounding to whole HU."""
_LEAST_SHARE = 0.005
"""Of an image at a level; below it, levels count less."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Changes:
    """Decaying sums of descriptions, over the ``k`` domains and their ordered pairs."""

    real: Float[Array, "k f"]
    real_count: Float[Array, "k"]
    change: Float[Array, "k k f"]
    """Of translations less those of their sources, by domains of source and target."""
    change_count: Float[Array, "k k"]

    @classmethod
    def empty(cls, domains: int) -> "Changes":
        """Before the first image."""
        length = BANDS + LEVELS
        return cls(
            jnp.zeros((domains, length)),
            jnp.zeros(domains),
            jnp.zeros((domains, domains, length)),
            jnp.zeros((domains, domains)),
        )


def describe(images: Images) -> Float[Array, "b f"]:
    """Logarithms of the power in ``BANDS`` bands, then shares of the image at ``LEVELS`` levels.

    Intensities are seen under a 3×3 binomial blur, and shared linearly between the two levels next
    to them.
    """
    power = jnp.log(radial_power(images[..., 0], BANDS) + _LEAST_POWER)
    shares = weights(binomial_blur(images)[..., 0], _BINNING).mean((1, 2))
    return jnp.concatenate([power, shares], axis=1)


def remember(
    changes: Changes,
    source: Images,
    source_domain: Int[Array, "b"],
    references: tuple[Images, Images],
    target_domain: Int[Array, "b"],
    translation: Images,
) -> Changes:
    """The sums with a batch added.

    One-hot products, so that a batch cut over devices needs sums over them and nothing else.
    """
    domains = len(changes.real_count)
    first, second = (jax.nn.one_hot(d, domains) for d in (source_domain, target_domain))
    before, after, *others = (describe(images) for images in (source, translation, *references))
    return Changes(
        _REAL_MEMORY * changes.real + first.T @ before + second.T @ jnp.stack(others).sum(0),
        _REAL_MEMORY * changes.real_count + first.sum(0) + len(others) * second.sum(0),
        _CHANGE_MEMORY * changes.change
        + jnp.einsum("bs,bt,bf->stf", first, second, after - before),
        _CHANGE_MEMORY * changes.change_count + first.T @ second,
    )


def change_losses(
    translation: Images,
    source_domain: Int[Array, "b"],
    target_domain: Int[Array, "b"],
    changes: Changes,
    same_scanner: Float[Array, "k k"],
) -> dict[str, tuple[Float[Array, ""], Float[Array, ""]]]:
    """``spectrum`` and ``histogram``: the loss, and the root mean square of the gaps it closes.

    The gap of a pair is the mean change that translation made, less m_t - m_s; at a level of the
    histogram, as a part of the mean share of both. The loss is the mean over the batch of gap ·
    description, the gap held fixed and cut at ±1: its gradient is that of half the squared gap,
    measured on the sums and carried by the batch.

    Patients differ, too. What the domains of one scanner share of the lowest band of the spectrum
    is taken for their patients' anatomy and left out of account; histograms, which tell of anatomy
    more than of kernels, are compared only where ``same_scanner`` is 1.
    """
    changes = jax.lax.stop_gradient(changes)
    mean = changes.real / jnp.maximum(changes.real_count, 1)[:, None]
    found = changes.change / jnp.maximum(changes.change_count, _LEAST_POWER)[..., None]
    power, shares = jnp.split(mean, (BANDS,), axis=1)
    power_change, share_change = jnp.split(found, (BANDS,), axis=2)
    scanners = same_scanner / same_scanner.sum(1, keepdims=True)
    power -= (scanners @ power)[:, :1]
    usual = (shares[None] + shares[:, None]) / 2 + _LEAST_SHARE
    gaps = {
        "spectrum": power_change - _differences(power),
        "histogram": (share_change - _differences(shares)) / usual * same_scanner[..., None],
    }
    first, second = (jax.nn.one_hot(d, len(mean)) for d in (source_domain, target_domain))
    made = dict(zip(gaps, jnp.split(describe(translation), (BANDS,), axis=1), strict=True))
    losses = {}
    for name, gap in gaps.items():
        cut = jnp.clip(gap, -_LARGEST_GAP, _LARGEST_GAP)
        of_sample = jnp.einsum("bs,bt,stf->bf", first, second, cut)
        # Bands are averages already; shares add up to one image.
        reduce = jnp.mean if name == "spectrum" else jnp.sum
        loss = reduce(of_sample * made[name], axis=1).mean()
        losses[name] = (loss, jnp.sqrt(jnp.square(of_sample).mean()))
    return losses


def _differences(means: Float[Array, "k f"]) -> Float[Array, "k k f"]:
    """Of the second domain less the first."""
    return means[None] - means[:, None]
