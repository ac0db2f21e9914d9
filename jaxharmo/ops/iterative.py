"""Iterative reconstruction: penalised weighted least squares with a prior that spares edges."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxharmo.ops.projection import Geometry, Spacing, adjoint, back_projection_scale, project

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""To the neighbours, rows and columns; the other four are the same pairs."""
_SHARES = (2 / 3, 2 / 3, 1 / 6, 1 / 6)
"""With these the penalty's transform is (2π f)² in all directions, for square pixels."""
_LARGEST_WEIGHT = 4.0
"""Of a ray, over the typical one: rays beside the body would slow down the descent for nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Penalty:
    """How much smoother than the data an image is made, and what counts as an edge."""

    length: float
    """mm; without edges the gain at the frequency f is 1 / (1 + length³ f (2π f)²)."""
    edge: float
    """Differences of neighbours, units of the object, above which the penalty grows linearly."""
    iterations: int


def reconstruct(
    lines: Float[Array, "b v m"],
    variance: Float[Array, "b v m"],
    geometry: Geometry,
    spacing: Spacing,
    start: Float[Array, "b h w"],
    penalty: Penalty,
) -> Float[Array, "b h w"]:
    """The image in units of the object that fits the lines and is smooth but for its edges.

    It is the minimum of ½ Σ (project(x) − lines)² / variance + β Σ κ_j κ_k φ(x_j − x_k) over rays
    and pairs of neighbours (Thibault et al. 2007, doi 10.1118/1.2789499), with the Fair
    potential φ, and κ of Fessler & Rogers 1996 (doi 10.1109/83.535846), which makes the resolution
    the same everywhere but at edges. ``start`` is the filtered back-projection of ``lines``, which
    are smoothed with the kernel that the image is to have: the minimum for ``length`` 0. Conjugate
    gradients, preconditioned in the frequencies (Fessler & Booth 1999, doi 10.1109/83.766846), with
    the step of Labat & Idier 2008 (doi 10.1007/s10957-007-9306-x); monotone.
    """
    scale = back_projection_scale(geometry, spacing)
    spacing = jnp.asarray(spacing, jnp.float32)
    shape = start.shape[1:]
    typical = variance.mean((1, 2), keepdims=True)
    weights = jnp.minimum(typical / variance, _LARGEST_WEIGHT)

    def backward(lines: Array) -> Array:
        return adjoint(lines, geometry, spacing, shape) * scale

    # Mean weight of the rays through a pixel; the sinc's overshoot at jumps is cut off.
    lowest = weights.min((1, 2), keepdims=True)
    squared = jnp.clip(backward(weights) / math.pi * geometry.pitch, lowest, _LARGEST_WEIGHT)
    certainty = jnp.sqrt(squared)
    pairs = _Pairs(certainty, spacing, penalty)
    precondition = _preconditioner(certainty, spacing, penalty)

    def step(state: Any, _: None) -> tuple[Any, None]:
        image, error, gradient, direction, old = state
        new = precondition(gradient)
        rate = _dot(new, gradient - old[0]) / jnp.maximum(_dot(old[1], old[0]), 1e-30)
        direction = jnp.maximum(rate, 0) * direction - new
        shadow = project(direction, geometry, spacing)
        # The scale of the adjoint is part of the norm of the data.
        curvature = (weights * shadow**2).sum((1, 2), keepdims=True) * scale
        curvature = curvature + pairs.curvature(image, direction)
        length = -_dot(gradient, direction) / jnp.maximum(curvature, 1e-30)
        image, error = image + length * direction, error + length * shadow
        slope = backward(weights * error) + pairs.gradient(image)
        return (image, error, slope, direction, (gradient, new)), None

    error = project(start, geometry, spacing) - lines
    gradient = backward(weights * error) + pairs.gradient(start)
    nothing = jnp.zeros_like(start)
    state = (start, error, gradient, nothing, (gradient, precondition(gradient)))
    (image, *_), _ = jax.lax.scan(step, state, length=penalty.iterations)
    return image


class _Pairs:
    """The penalty as a function of the image: gradient, and curvature of its quadratic majorant."""

    def __init__(self, certainty: Array, spacing: Array, penalty: Penalty):
        self._edge = penalty.edge
        self._weights = []
        for (down, right), share in zip(_STEPS, _SHARES, strict=True):
            near = certainty * jnp.roll(certainty, (down, right), (1, 2))
            height, width = certainty.shape[1:]
            inside = np.ones((height, width), np.float32)
            # Pairs across the border of the image are none.
            inside[:down] = 0
            inside[:, :right] = 0
            inside[:, width + min(right, 0) :] = 0
            strength = share * penalty.length**3 / jnp.prod(spacing)
            self._weights.append(near * inside * strength)

    def gradient(self, image: Array) -> Array:
        total = jnp.zeros_like(image)
        for (down, right), weight in zip(_STEPS, self._weights, strict=True):
            difference = image - jnp.roll(image, (down, right), (1, 2))
            pull = weight * difference / (1 + jnp.abs(difference) / self._edge)
            total = total + pull - jnp.roll(pull, (-down, -right), (1, 2))
        return total

    def curvature(self, image: Array, direction: Array) -> Array:
        total = jnp.zeros((len(image), 1, 1))
        for (down, right), weight in zip(_STEPS, self._weights, strict=True):
            difference = image - jnp.roll(image, (down, right), (1, 2))
            along = direction - jnp.roll(direction, (down, right), (1, 2))
            bent = weight * along**2 / (1 + jnp.abs(difference) / self._edge)
            total = total + bent.sum((1, 2), keepdims=True)
        return total


def _preconditioner(certainty: Array, spacing: Array, penalty: Penalty) -> Callable[[Array], Array]:
    """Inverse of the Hessian where certainty is even and nothing is an edge."""
    shape = certainty.shape[1:]
    rows, columns = jnp.fft.fftfreq(shape[0]), jnp.fft.rfftfreq(shape[1])
    frequency = jnp.hypot(rows[:, None] / spacing[0], columns / spacing[1])
    lowest = 0.5 / (max(shape) * spacing.max())
    frequency = jnp.maximum(frequency, lowest)
    bent = 1 / frequency + penalty.length**3 * (2 * jnp.pi * frequency) ** 2

    def apply(gradient: Array) -> Array:
        spectrum = jnp.fft.rfft2(gradient / certainty) / bent
        return jnp.fft.irfft2(spectrum, shape) / certainty

    return apply


def _dot(first: Array, second: Array) -> Array:
    return (first * second).sum((1, 2), keepdims=True)
