"""The multi-scale texture loss on soft-binned GLCMs (arXiv 2403.16640).

Haralick features of an image at 4 angles × 4 distances make a 4×4 grid. The loss is an aggregate of
the normalised differences between the grids of two images.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxharmo.config import TextureConfig
from jaxharmo.ops.glcm import glcm_features

Grids = dict[str, Float[Array, "b 4 4"]]
"""By feature; rows are angles, columns distances."""
Attention = Callable[[Float[Array, "b 4 4"]], Float[Array, "b 4 4"]]

_EPSILON = 1e-6
_LEAST_SHARE = 0.1
"""Least denominator of a difference, as a share of the mean over the batch."""


def central(images: Float[Array, "b h w 1"], crop: int) -> Float[Array, "b h w 1"]:
    """The central square of at most ``crop`` pixels a side."""
    height, width = images.shape[1:3]
    tall, wide = min(height, crop), min(width, crop)
    top, left = (height - tall) // 2, (width - wide) // 2
    return images[:, top : top + tall, left : left + wide]


def texture_grids(images: Float[Array, "b h w 1"], config: TextureConfig) -> Grids:
    """Feature grids of the central ``config.crop`` square of images in [-1, 1], in float32."""
    square = central(images, config.crop)[..., 0].astype(jnp.float32)
    features = glcm_features(square, config.glcm, config.features)
    return {name: values.reshape(-1, 4, 4) for name, values in features.items()}


def domain_average(grids: Grids, domain: Int[Array, "b"], domains: int) -> Grids:
    """Replace every grid by the mean over the samples of its domain.

    Sums over the batch and one-hot products, so that a sharded batch needs one all-reduce.
    """
    member = jax.nn.one_hot(domain, domains)
    share = member / jnp.maximum(member.sum(0), 1)
    return {name: jnp.einsum("bk,ck,cij->bij", member, share, grid) for name, grid in grids.items()}


def texture_loss(
    grids: Grids, real: Grids, config: TextureConfig, attention: Attention
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Aggregate of the normalised differences: mean over images and features, and by feature.

    The real grid and every denominator are constants, so the loss is 0, with a finite gradient,
    where the grids agree.
    """
    reduce = {
        "attention": lambda grid: attention(grid).sum((1, 2)),
        "mean": lambda grid: grid.mean((1, 2)),
        "max": lambda grid: grid.max((1, 2)),
        "frobenius": lambda grid: jnp.sqrt(jnp.square(grid).sum((1, 2)) + _EPSILON**2) - _EPSILON,
    }[config.aggregation]
    losses = {}
    for name, grid in grids.items():
        target = jax.lax.stop_gradient(real[name])
        difference = jnp.abs(grid - target)
        losses[f"texture_{name}"] = reduce(_normalize(difference, target, config)).mean()
    return sum(losses.values(), jnp.zeros(())) / len(losses), losses


def _normalize(difference: Array, target: Array, config: TextureConfig) -> Float[Array, "b 4 4"]:
    if config.normalization == "relative":
        size = jnp.abs(target)
        # A flat image, or a feature that crosses zero, must not outweigh the rest of the batch.
        return difference / (jnp.maximum(size, _LEAST_SHARE * size.mean(0)) + _EPSILON)
    low, high = (
        jax.lax.stop_gradient(extreme(difference, axis=(1, 2), keepdims=True))
        for extreme in (jnp.min, jnp.max)
    )
    return (difference - low) / (high - low + _EPSILON)
