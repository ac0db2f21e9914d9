"""ComBat: shift and scale features of each batch towards the others, with empirical Bayes.

The model of Johnson, Li & Rabinovic 2007: y = α + Xβ + γ_i + δ_i ε for a row of batch i with
covariates X. Estimates of γ_i and δ_i² are shrunk towards what all features of the batch share
(normal and inverse gamma priors, fitted by moments), then taken out.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

_TOLERANCE = 1e-10
_ROUNDS = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Combat:
    """A fitted model, applied to rows of the batches that it was fitted on."""

    names: np.ndarray
    """Batches, sorted."""
    mean: Float[np.ndarray, "f"]
    """α: the mean over batches by rows, or that of the reference batch."""
    slopes: Float[np.ndarray, "c f"]
    """β of the covariates."""
    spread: Float[np.ndarray, "f"]
    """Pooled SD of the residuals."""
    shift: Float[np.ndarray, "k f"]
    """γ of each batch, in pooled SDs."""
    scale: Float[np.ndarray, "k f"]
    """δ of each batch."""

    @classmethod
    def fit(
        cls,
        rows: Float[np.ndarray, "n f"],
        batches: np.ndarray,
        covariates: Float[np.ndarray, "n c"] | None = None,
        reference: object = None,
    ) -> "Combat":
        """Fit on all batches; ``covariates`` are kept, ``reference`` names a batch left as it is.

        Raises ``ValueError`` for a batch of fewer than two rows, an unknown reference, one feature
        (the priors need several), or covariates that are confounded with the batches.
        """
        rows = np.asarray(rows, np.float64)
        names, batch = np.unique(batches, return_inverse=True)
        counts = np.bincount(batch)
        if counts.min() < 2 or rows.shape[1] < 2 or not np.isfinite(rows).all():
            raise ValueError("ComBat needs 2 features, 2 rows in each batch, and finite values")
        member = np.eye(len(names))[batch]
        extra = np.zeros((len(rows), 0)) if covariates is None else np.asarray(covariates, float)
        design = np.concatenate([member, extra], 1)
        if np.linalg.matrix_rank(design) < design.shape[1]:
            raise ValueError("covariates are confounded with the batches or with one another")
        effects = np.linalg.lstsq(design, rows)[0]
        own = np.ones(len(rows), bool)
        mean = counts / counts.sum() @ effects[: len(names)]
        if reference is not None:
            if reference not in names.tolist():
                raise ValueError(f"no batch {reference!r}; there are {names.tolist()}")
            index = names.tolist().index(reference)
            own, mean = batch == index, effects[index]
        spread = np.sqrt(np.mean((rows - design @ effects)[own] ** 2, 0))
        spread = np.where(spread > 0, spread, 1.0)
        slopes = effects[len(names) :]
        standard = (rows - mean - extra @ slopes) / spread
        fitted = [_shrunk(standard[batch == index]) for index in range(len(names))]
        shift, variance = (np.stack(part) for part in zip(*fitted, strict=True))
        if reference is not None:
            shift[names == reference], variance[names == reference] = 0, 1
        return cls(
            names=names,
            mean=mean,
            slopes=slopes,
            spread=spread,
            shift=shift,
            scale=np.sqrt(variance),
        )

    def __call__(
        self,
        rows: Float[np.ndarray, "n f"],
        batches: np.ndarray,
        covariates: Float[np.ndarray, "n c"] | None = None,
    ) -> Float[np.ndarray, "n f"]:
        """Rows without the effects of their batches; ``ValueError`` for a batch not fitted."""
        unknown = set(np.unique(batches).tolist()) - set(self.names.tolist())
        if unknown:
            raise ValueError(f"ComBat was not fitted on {sorted(unknown, key=str)}")
        batch = np.searchsorted(self.names, batches)
        kept = self.mean
        if covariates is not None:
            kept = kept + np.asarray(covariates, float) @ self.slopes
        standard = (np.asarray(rows, np.float64) - kept) / self.spread
        return (standard - self.shift[batch]) / self.scale[batch] * self.spread + kept


def _shrunk(rows: Float[np.ndarray, "n f"]) -> tuple[np.ndarray, np.ndarray]:
    """Posterior γ and δ² of one batch of standardised rows, by alternating their two equations."""
    n = len(rows)
    shift, variance = rows.mean(0), rows.var(0, ddof=1)
    centre, width = shift.mean(), shift.var(ddof=1)
    mean, square = variance.mean(), variance.var(ddof=1)
    if not (width > 0 and square > 0):
        return shift, np.where(variance > 0, variance, 1.0)
    # Inverse gamma prior with the moments of the features' variances.
    shape, rate = mean**2 / square + 2, mean**3 / square + mean
    posterior, spread = shift, variance
    for _ in range(_ROUNDS):
        new = (n * width * shift + spread * centre) / (n * width + spread)
        squares = np.sum((rows - new) ** 2, 0)
        wider = (rate + squares / 2) / (n / 2 + shape - 1)
        step = max(np.max(np.abs(new - posterior)), np.max(np.abs(wider / spread - 1)))
        posterior, spread = new, wider
        if step < _TOLERANCE:
            break
    return posterior, spread
