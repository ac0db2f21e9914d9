"""Intervals of the distances between domains: whole patients are drawn again."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.evaluation.statistics import Interval

_LEADING = 32
"""Principal components of both sets whose Fréchet distance is resampled."""


def frechet_interval(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "m d"],
    patients: tuple[np.ndarray, np.ndarray],
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Interval:
    """``frechet_distance`` with a bootstrap interval over the patients of ``a`` and of ``b``.

    Patients are drawn with all of their rows, in both sets where both hold some. Only the width of
    the interval is resampled, as repeated rows bias the distance: it is centred on the estimate,
    cut at 0, and taken from the 32 leading principal components of both sets together, which leaves
    out what hardly varies. NaN where fewer than two patients could be drawn.
    """
    estimate = frechet_distance(a, b)
    both = np.concatenate([a, b]).astype(np.float64)
    # Of few tiles, the space that they span: nothing is lost.
    components = min(_LEADING, *both.shape)
    if components < both.shape[1]:
        # The import of scikit-learn takes as long as that of JAX.
        from sklearn.decomposition import PCA

        both = PCA(components, random_state=seed).fit_transform(both)
    names, of_row = np.unique(np.concatenate(patients), return_inverse=True)
    sides = [
        _moments(rows, whose, len(names))
        for rows, whose in (
            (both[: len(a)], of_row[: len(a)]),
            (both[len(a) :], of_row[len(a) :]),
        )
    ]
    # Patients of both sets, and of one only, are drawn apart, so that no set runs empty.
    kinds = np.stack([side.count > 0 for side in sides]).T @ np.array([1, 2])
    pools = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    if min(map(len, pools)) < 2:
        return Interval(estimate, float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    times = np.zeros((resamples, len(names)))
    for pool in pools:
        times[:, pool] = random.multinomial(len(pool), np.full(len(pool), 1 / len(pool)), resamples)
    values = _frechet_distances(*(_gaussians(side, times) for side in sides))
    low, middle, high = np.quantile(values, (0.025, 0.5, 0.975))
    shift = estimate - middle
    return Interval(estimate, max(float(low + shift), 0.0), float(high + shift))


class _Moments(NamedTuple):
    """Sums over the rows of each patient."""

    count: Float[np.ndarray, "p"]
    total: Float[np.ndarray, "p d"]
    square: Float[np.ndarray, "p d d"]


def _moments(rows: np.ndarray, whose: np.ndarray, patients: int) -> _Moments:
    width = rows.shape[1]
    total, square = np.zeros((patients, width)), np.zeros((patients, width, width))
    for patient in np.unique(whose):
        some = rows[whose == patient]
        total[patient], square[patient] = some.sum(0), some.T @ some
    return _Moments(np.bincount(whose, minlength=patients).astype(float), total, square)


def _gaussians(side: _Moments, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of each resample: a patient's sums as often as it was drawn."""
    count = times @ side.count
    mean = times @ side.total / count[:, None]
    square = np.tensordot(times, side.square, 1)
    outer = mean[:, :, None] * mean[:, None, :] * count[:, None, None]
    return mean, (square - outer) / np.maximum(count - 1, 1)[:, None, None]


def _frechet_distances(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, "r"]:
    # tr (S_a S_b)^½ is the sum of the roots of the eigenvalues of S_a^½ S_b S_a^½.
    (mean_a, first), (mean_b, second) = a, b
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0))[:, None, :] @ vectors.transpose(0, 2, 1)
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum(-1)
    traces = np.trace(first, axis1=1, axis2=2) + np.trace(second, axis1=1, axis2=2)
    return np.sum((mean_a - mean_b) ** 2, 1) + traces - 2 * overlap
