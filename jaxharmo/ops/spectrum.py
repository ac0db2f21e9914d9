"""Radial power of images, as matrix products.

A fast Fourier transform would gather a batch that is cut over devices; products do not, and for
crops of a few hundred pixels they cost little beside a convolution.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def radial_power(images: Float[Array, "b h w"], bands: int) -> Float[Array, "b k"]:
    """Mean power of each image in ``bands`` bands of spatial frequency, any unit squared.

    Band i of n ends at ((i + 2) / (n + 1))^1.5 of the corner of the plane of frequencies, which is
    1/√2 per pixel: narrow at low frequencies, where images differ most. The mean of an image is
    taken away first, and a Hann window keeps its border from counting as an edge. 23 bands need
    images of 64 pixels at least, or the first is empty, with power 0.
    """
    height, width = images.shape[1:]
    window, rows, columns, members = _plan(height, width, bands)
    image = images.astype(jnp.float32)
    image = (image - image.mean((1, 2), keepdims=True)) * window
    across = jnp.einsum("bhw,pwk->pbhk", image, columns)
    real = jnp.einsum("hj,bhk->bjk", rows[0], across[0]) - jnp.einsum(
        "hj,bhk->bjk", rows[1], across[1]
    )
    imaginary = jnp.einsum("hj,bhk->bjk", rows[0], across[1]) + jnp.einsum(
        "hj,bhk->bjk", rows[1], across[0]
    )
    return jnp.einsum("bjk,jkn->bn", real**2 + imaginary**2, members)


@functools.lru_cache(8)
def _plan(height: int, width: int, bands: int) -> tuple[np.ndarray, ...]:
    """Window, cosines and sines along both axes, and the share of every frequency in its band."""
    window = np.outer(_hann(height), _hann(width))
    window /= np.sqrt(np.square(window).sum())
    half = width // 2 + 1
    rows, columns = _waves(height, height), _waves(width, half)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.arange(half)[None] / width)
    ends = ((np.arange(bands - 1) + 2) / (bands + 1)) ** 1.5 * np.sqrt(0.5)
    band = np.digitize(frequency, ends)
    # Columns but the first and the Nyquist one stand for their mirror images as well.
    weight = np.full((height, half), 2.0)
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    members = np.eye(bands)[band] * weight[..., None]
    members /= np.maximum(members.sum((0, 1)), 1)
    return tuple(array.astype(np.float32) for array in (window, rows, columns, members))


def _hann(length: int) -> np.ndarray:
    return np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2


def _waves(length: int, count: int) -> np.ndarray:
    angle = 2 * np.pi * np.outer(np.arange(length), np.arange(count)) / length
    return np.stack([np.cos(angle), -np.sin(angle)])
