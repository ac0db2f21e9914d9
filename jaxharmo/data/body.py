"""Where the body is in a slice."""

import numpy as np
from jaxtyping import Real
from scipy import ndimage

BODY_THRESHOLD = -500.0
"""HU between air and soft tissue."""
BOX_GRID = 256


def body_box(hu: Real[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Bounding box of the largest object denser than air: top, left, bottom, right (exclusive).

    The whole image where nothing is. From ``2 * BOX_GRID`` pixels a side on, pixels are passed over
    and the box is true to as many.
    """
    step = max(1, min(hu.shape) // BOX_GRID)
    labels, count = ndimage.label(hu[::step, ::step] > BODY_THRESHOLD)  # pyright: ignore[reportGeneralTypeIssues]
    if not count:
        return 0, 0, *hu.shape
    largest = int(np.argmax(np.bincount(labels.ravel())[1:]))
    rows, columns = ndimage.find_objects(labels)[largest]
    bottom, right = min(rows.stop * step, hu.shape[0]), min(columns.stop * step, hu.shape[1])
    return rows.start * step, columns.start * step, bottom, right
