"""The ramp filter of back-projection."""

import numpy as np
from jaxtyping import Float


def ramp_filter(count: int) -> Float[np.ndarray, "f"]:
    """|f| in cycles a sample, from its band-limited form in space, which keeps the mean."""
    space = np.zeros(count)
    odd = np.arange(1, count // 2 + 1, 2)
    space[0] = 0.25
    space[odd] = space[-odd] = -1 / (np.pi * odd) ** 2
    return np.fft.rfft(space).real
