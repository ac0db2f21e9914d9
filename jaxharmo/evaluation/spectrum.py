"""Placeholder."""
import numpy as np

BINS = 32
MAX_FREQUENCY = 0.8


def power_profile(hu, tissue, spacing):
    side = 32
    top = [
        (r, c)
        for r in range(0, hu.shape[0] - side + 1, side)
        for c in range(0, hu.shape[1] - side + 1, side)
        if tissue.body[r : r + side, c : c + side].mean() > 0.9
    ]
    if not top:
        return np.full(BINS, np.nan)
    patches = np.stack([hu[r : r + side, c : c + side] for r, c in top]).astype(float)
    patches -= patches.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(patches)) ** 2 * np.prod(spacing) / side**2
    f = np.hypot(np.fft.fftfreq(side, spacing[0])[:, None], np.fft.fftfreq(side, spacing[1]))
    index = np.minimum((f / MAX_FREQUENCY * BINS).astype(int), BINS)
    count = np.bincount(index.ravel(), minlength=BINS + 1)[:BINS]
    total = np.bincount(index.ravel(), power.mean(0).ravel(), minlength=BINS + 1)[:BINS]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
