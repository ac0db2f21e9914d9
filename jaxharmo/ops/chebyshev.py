"""Chebyshev series of smooth functions on [-1, 1], fitted in float64 while a program is traced."""

import numpy as np
import scipy.fft
from jaxtyping import Float


def nodes(count: int) -> Float[np.ndarray, "n"]:
    """The points at which functions are sampled for ``fit``."""
    return np.cos((np.arange(count) + 0.5) * (np.pi / count))


def fit(
    values: Float[np.ndarray, "n k"], scale: np.ndarray | float, dtype: str
) -> tuple[Float[np.ndarray, "r k"], int]:
    """Half as many coefficients as nodes, and how many the dtype resolves against ``scale``."""
    coefficients = np.asarray(scipy.fft.dct(values, axis=0, norm="forward"))[: len(values) // 2]
    coefficients[1:] *= 2
    precision = max(np.finfo(dtype).eps / 4, 1e-14)
    large = (np.abs(coefficients) > precision * scale).any(1)
    return coefficients, int(np.nonzero(large)[0][-1]) + 1
