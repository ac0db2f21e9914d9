"""3×3 convolutions, in the form that is fastest on the device.

Accelerators use the convolution of their library. On a CPU, XLA's own reaches half of the peak
rate, and its gradient with respect to the kernel a quarter. Large float32 convolutions and their
gradients are therefore computed there by minimal filtering, F(4×4, 3×3) (Winograd 1980; Lavin &
Gray 2016, arXiv 1509.09308): the same sums in another order, with 4 times fewer products. A tile of
4×4 results is

    Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A

of its 6×6 inputs d and the kernel g; summed over channels, each of the 36 products of a tile
becomes a matrix product over tiles and channels.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Features = Float[Array, "b h w c"]
Kernel = Float[Array, "3 3 c d"]

TILE = 4
"""Side of the results of a tile, pixels."""
_INPUTS = TILE + 2
_LEAST_TILES = 16
_LEAST_CHANNELS = 64
_LEAST_CHANNELS_OF_KERNEL = 16
"""Fewer tiles or channels make matrices too small to gain; the gradient by the kernel gains sooner,
because XLA's own is slower there."""

# Of the points 0, ±1, ±2, ∞.
_B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_A = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
_KERNEL_TRANSFORM = np.kron(_G, _G).astype(np.float32)
_RESULT_TRANSFORM = np.kron(_A, _A).astype(np.float32)


@jax.custom_vjp
def convolve(x: Features, kernel: Kernel) -> Float[Array, "b h w d"]:
    """3×3 convolution (in the sense of networks: a cross-correlation), stride 1, zero padding.

    Differentiable in reverse any number of times: its gradients are convolutions again.
    """
    if not suits_tiles(x, kernel, _LEAST_CHANNELS):
        return _convolve_directly(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=_convolve_tiles, default=_convolve_directly)


@jax.custom_vjp
def correlate(x: Features, change: Float[Array, "b h w d"]) -> Kernel:
    """The gradient of ``convolve`` by its kernel: sums over pixels of x, shifted, times change."""
    if not suits_tiles(x, change, _LEAST_CHANNELS_OF_KERNEL):
        return _correlate_directly(x, change)
    return jax.lax.platform_dependent(x, change, cpu=_correlate_tiles, default=_correlate_directly)


def _turned(kernel: Array) -> Array:
    """The kernel of the transposed convolution."""
    return jnp.swapaxes(kernel[::-1, ::-1], 2, 3)


convolve.defvjp(
    lambda x, kernel: (convolve(x, kernel), (x, kernel)),
    lambda saved, change: (convolve(change, _turned(saved[1])), correlate(saved[0], change)),
)
correlate.defvjp(
    lambda x, change: (correlate(x, change), (x, change)),
    lambda saved, kernel: (convolve(saved[1], _turned(kernel)), convolve(saved[0], kernel)),
)


def suits_tiles(x: Array, other: Array, least_channels: int) -> bool:
    """Whether tiles fit ``x`` and are faster, for a kernel or change ``other``."""
    batch, height, width, channels = x.shape
    return (
        x.dtype == other.dtype == jnp.float32
        and height % TILE == width % TILE == 0
        and min(channels, other.shape[-1]) >= least_channels
        and batch * height * width >= _LEAST_TILES * TILE**2
    )


def _convolve_directly(x: Array, kernel: Array) -> Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _correlate_directly(x: Array, change: Array) -> Array:
    shape = (3, 3, x.shape[-1], change.shape[-1])
    by_kernel = jax.linear_transpose(
        lambda kernel: _convolve_directly(x, kernel), jax.ShapeDtypeStruct(shape, x.dtype)
    )
    return by_kernel(change)[0]


def _convolve_tiles(x: Array, kernel: Array) -> Array:
    inputs = _input_tiles(x)
    channels = kernel.shape[2:]
    kernels = (_KERNEL_TRANSFORM @ kernel.reshape(9, -1)).reshape(_INPUTS**2, *channels)
    products = jnp.einsum("ntc,ncd->ntd", inputs, kernels)
    results = jnp.asarray(_RESULT_TRANSFORM) @ products.reshape(_INPUTS**2, -1)
    batch, height, width = x.shape[:3]
    tiles = results.reshape(TILE, TILE, batch, height // TILE, width // TILE, -1)
    return tiles.transpose(2, 3, 0, 4, 1, 5).reshape(batch, height, width, -1)


def _correlate_tiles(x: Array, change: Array) -> Array:
    inputs = _input_tiles(x)
    batch, height, width, channels = change.shape
    tiles = change.reshape(batch, height // TILE, TILE, width // TILE, TILE, channels)
    tiles = tiles.transpose(2, 4, 0, 1, 3, 5).reshape(TILE**2, -1)
    products = (_RESULT_TRANSFORM.T @ tiles).reshape(_INPUTS**2, -1, channels)
    kernels = jnp.einsum("ntc,ntd->ncd", inputs, products)
    kernel = jnp.asarray(_KERNEL_TRANSFORM.T) @ kernels.reshape(_INPUTS**2, -1)
    return kernel.reshape(3, 3, x.shape[-1], channels)


def _input_tiles(x: Array) -> Float[Array, "36 t c"]:
    """Bᵀ d B of all tiles: the 6×6 pixels around each, zeros beyond the edges."""
    height, width, channels = x.shape[1:]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = _transformed([padded[:, i : i + height - 3 : TILE] for i in range(_INPUTS)])
    tiles = _transformed([rows[:, :, :, j : j + width - 3 : TILE] for j in range(_INPUTS)])
    return jnp.swapaxes(tiles, 0, 1).reshape(_INPUTS**2, -1, channels)


def _transformed(parts: list[Array]) -> Array:
    """Bᵀ times the parts, stacked along a new first axis."""
    return jnp.stack(
        [sum(float(b) * part for b, part in zip(row, parts, strict=True) if b) for row in _B]
    )
