"""Intervals of the distances between domains: whole patients are drawn again."""

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA

from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.evaluation.statistics import Interval, cluster_bootstrap

_LEADING = 128
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

    Only the width of the interval is resampled, as repeated rows bias the distance: it is centred
    on the estimate (``cluster_bootstrap``), cut at 0, and taken from the 128 leading principal
    components of both sets together, which leaves out what hardly varies. NaN where fewer than two
    patients could be drawn.
    """
    estimate = frechet_distance(a, b)
    both = np.concatenate([a, b]).astype(np.float64)
    if min(both.shape) > _LEADING:
        both = PCA(_LEADING, random_state=seed).fit_transform(both)
    found = cluster_bootstrap(
        frechet_distance,
        [both[: len(a)], both[len(a) :]],
        patients,
        resamples=resamples,
        centred=True,
        seed=seed,
    )
    moved = estimate - found.estimate
    low = found.low + moved
    return Interval(estimate, max(low, 0.0) if np.isfinite(low) else low, found.high + moved)
