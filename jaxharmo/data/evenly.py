"""A few of many, evenly spread."""

import numpy as np
from jaxtyping import Int


def evenly(count: int, most: int) -> Int[np.ndarray, "n"]:
    """At most ``most`` of the numbers below ``count``, evenly spread, with the first and last."""
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))
