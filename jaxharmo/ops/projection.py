"""Parallel-beam projection and its adjoint, by the Fourier slice theorem.

The Fourier transform of a view is the line through the middle of the image's transform that lies
along the detector (Bracewell 1956). The image's transform is taken on a grid twice as fine as it
need be, and read off the grid along those lines with an interpolating kernel (Fessler & Sutton
2003, doi 10.1109/TSP.2002.807005; the kernel is the "exponential of semicircle" of Barnett, Magland
& af Klinteberg 2019, doi 10.1137/18M120885X). So a pixel is a sinc, a line integral is true to
1e-5 of the largest, and a slice costs two transforms and 36 products a sample in place of a pass
over all pixels for every view.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import linear_call
from jaxtyping import Array, Float

_TAPS = 6
"""Width of the interpolating kernel, points of the fine grid."""
_SHAPE = 2.30 * _TAPS
"""Of the kernel, as its authors choose it for a grid twice as fine."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Geometry:
    """Parallel rays, ``views`` evenly over 180 degrees.

    In view v element m lies at (m - (elements - 1) / 2) pitch along the direction (sin θ, cos θ) in
    (row, column), θ = π v / views; the rays are normal to it.
    """

    views: int
    elements: int
    pitch: float
    """Between elements, at the centre of rotation, mm."""

    @property
    def width(self) -> float:
        """Of the detector, mm."""
        return self.elements * self.pitch


Spacing = tuple[float, float] | Float[Array, "2"]


def project(
    images: Float[Array, "b h w"], geometry: Geometry, spacing: Spacing
) -> Float[Array, "b v m"]:
    """Line integrals, mm times the unit of ``images``, float32; linear and differentiable.

    ``spacing`` (mm, between rows and between columns) may be traced. The middle of the image is the
    centre of rotation. What lies farther from it than half the detector's width comes back on the
    other side.
    """
    shape = images.shape[1:]

    def forward(spacing: Array, images: Array) -> Array:
        return _project(images, geometry, spacing)

    def backward(spacing: Array, lines: Array) -> Array:
        return _adjoint(lines, geometry, spacing, shape)

    spacing = jnp.asarray(spacing, jnp.float32)
    return linear_call(forward, backward, spacing, images.astype(jnp.float32))


def adjoint(
    lines: Float[Array, "b v m"], geometry: Geometry, spacing: Spacing, shape: tuple[int, ...]
) -> Float[Array, "b h w"]:
    """Adjoint of the projection, float32: equal inner products on both sides.

    Times ``back_projection_scale`` it is the back-projection.
    """

    def forward(spacing: Array, lines: Array) -> Array:
        return _adjoint(lines, geometry, spacing, shape)

    def backward(spacing: Array, images: Array) -> Array:
        return _project(images, geometry, spacing)

    spacing = jnp.asarray(spacing, jnp.float32)
    return linear_call(forward, backward, spacing, lines.astype(jnp.float32))


def back_projection_scale(geometry: Geometry, spacing: Spacing) -> Float[Array, ""]:
    """π pitch / (views · pixel area): the adjoint times it is the integral over the angle."""
    area = jnp.prod(jnp.asarray(spacing, jnp.float32))
    return math.pi * geometry.pitch / (geometry.views * area)


def operations(geometry: Geometry, shape: tuple[int, int]) -> tuple[float, float]:
    """Floating-point operations, and bytes to and from memory, of one projection of one slice.

    Counted: the fine grid's transform (5 n log2 n), eight operations for each of 36 points a
    sample, the transform of the views. Bytes: the grid three times, and what is read off it. The
    adjoint takes the same.
    """
    rows, columns = _fine(shape)
    samples = geometry.views * geometry.elements // 2
    grid = rows * columns
    transforms = 5 * grid * math.log2(grid) + 2.5 * geometry.views * geometry.elements * math.log2(
        geometry.elements
    )
    floats = transforms + 8 * _TAPS**2 * samples
    return floats, 8.0 * (3 * grid + _TAPS**2 * samples + 3 * samples)


def _project(images: Array, geometry: Geometry, spacing: Array) -> Array:
    shape = images.shape[1:]
    count, height, width = len(images), *shape
    rows, columns = _fine(shape)
    grid = jnp.pad(
        images / _kernel_transform(shape), ((0, 0), (0, rows - height), (0, columns - width))
    )
    grid = jnp.roll(grid, (-(height // 2), -(width // 2)), (1, 2))
    transform = jnp.fft.fft2(grid).reshape(count, -1)
    # Slices last: then a point of the grid is one short run of memory for all of them.
    points = jnp.stack([transform.real, transform.imag]).transpose(2, 0, 1)
    places, weights, shift = _samples(geometry, spacing, shape)

    def read(sampled: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
        place, weight = row
        line = jnp.zeros_like(sampled)
        for column in range(_TAPS):
            index = place * columns + places[1, column]
            line = line + weights[1, column, :, None, None] * points[index]
        return sampled + weight[:, None, None] * line, None

    nothing = jnp.zeros((shift.size, *points.shape[1:]))
    sampled, _ = jax.lax.scan(read, nothing, (places[0], weights[0]))
    spectrum = jax.lax.complex(sampled[:, 0], sampled[:, 1]) * shift[:, None]
    spectrum = spectrum.reshape(geometry.views, -1, count).transpose(2, 0, 1)
    spectrum = jnp.pad(spectrum, ((0, 0), (0, 0), (0, 1)))
    return jnp.fft.irfft(spectrum, geometry.elements) * (jnp.prod(spacing) / geometry.pitch)


def _adjoint(lines: Array, geometry: Geometry, spacing: Array, shape: tuple[int, ...]) -> Array:
    count, (height, width) = len(lines), shape
    rows, columns = _fine(shape)
    places, weights, shift = _samples(geometry, spacing, shape)
    spectrum = jnp.fft.rfft(lines)[..., :-1] * (jnp.prod(spacing) / geometry.width)
    # Frequencies but 0 stand for their mirror images as well.
    spectrum = spectrum * jnp.where(jnp.arange(spectrum.shape[-1]) == 0, 1.0, 2.0)
    spectrum = spectrum.transpose(1, 2, 0).reshape(-1, count) * shift.conj()[:, None]
    sampled = jnp.concatenate([spectrum.real, spectrum.imag], 1)

    def write(points: Array, row: tuple[Array, Array]) -> tuple[Array, None]:
        place, weight = row
        line = weight[:, None] * sampled
        for column in range(_TAPS):
            index = place * columns + places[1, column]
            points = points.at[index].add(weights[1, column, :, None] * line)
        return points, None

    nothing = jnp.zeros((rows * columns, 2 * count))
    points, _ = jax.lax.scan(write, nothing, (places[0], weights[0]))
    transform = jax.lax.complex(points[:, :count], points[:, count:]).T
    grid = jnp.fft.ifft2(transform.reshape(count, rows, columns)).real * (rows * columns)
    grid = jnp.roll(grid, (height // 2, width // 2), (1, 2))
    return grid[:, :height, :width] / _kernel_transform(shape)


def _fine(shape: tuple[int, ...]) -> tuple[int, int]:
    """Size of the fine grid: even, at least twice the image."""
    height, width = (2 * length for length in shape)
    return height, width


def _samples(geometry: Geometry, spacing: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Where on the fine grid the frequencies of the views lie, by ``taps``, and with what weights.

    The third array is a phase: for middles of image and detector that lie between their points, and
    0 beyond the image's Nyquist frequencies, where a sinc has nothing.
    """
    angle = jnp.arange(geometry.views) * (jnp.pi / geometry.views)
    frequency = jnp.arange(geometry.elements // 2) / geometry.width
    direction = jnp.stack([jnp.sin(angle), jnp.cos(angle)])
    # Cycles a pixel.
    waves = direction[:, :, None] * frequency * spacing[:, None, None]
    inside = (jnp.abs(waves) < 0.5).all(0)
    waves = jnp.where(inside, waves, 0.0)
    offset = jnp.array([length // 2 - (length - 1) / 2 for length in shape])
    turns = (waves * offset[:, None, None]).sum(0)
    turns = turns + frequency * ((geometry.elements - 1) / 2 * geometry.pitch)
    # Whole turns are taken off, or float32 would lose the phase of high frequencies.
    phase = -2 * jnp.pi * (turns - jnp.round(turns))
    shift = jnp.where(inside, jax.lax.complex(jnp.cos(phase), jnp.sin(phase)), 0)
    fine = jnp.array(_fine(shape))
    place = waves.reshape(2, -1) * fine[:, None]
    first = jnp.ceil(place - _TAPS / 2)
    steps = first[:, None] + jnp.arange(_TAPS)[:, None]
    distance = 2 * (steps - place[:, None]) / _TAPS
    weights = jnp.exp(_SHAPE * (jnp.sqrt(jnp.maximum(1 - distance**2, 0)) - 1))
    return steps.astype(jnp.int32) % fine[:, None, None], weights, shift.reshape(-1)


@functools.lru_cache(16)
def _kernel_transform(shape: tuple[int, ...]) -> np.ndarray:
    """Transform of the interpolating kernel at every pixel's distance from the middle."""
    axes = []
    for length, fine in zip(shape, _fine(shape), strict=True):
        nodes, weights = np.polynomial.legendre.leggauss(64)
        values = weights * np.exp(_SHAPE * (np.sqrt(1 - nodes**2) - 1)) * _TAPS / 2
        place = (np.arange(length) - length // 2) / fine
        axes.append(np.cos(np.pi * _TAPS * np.outer(place, nodes)) @ values)
    return np.outer(*axes).astype(np.float32)
