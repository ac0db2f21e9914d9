"""The principal components of the texture, as a picture."""

import io
import warnings

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxharmo.evaluation.domains.factors import Factor
from jaxharmo.evaluation.domains.units import Units
from jaxharmo.evaluation.domains.variance import standardised

_COLOURS = (
    "#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951",
    "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#30353d",
)  # fmt: skip
_MARKERS = "os^Dv"
_COLUMN = 24
_SHOWN = len(_COLOURS) * len(_MARKERS)


def principal_components(
    table: Float[np.ndarray, "n f"],
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "2"]]:
    """Scores on the first two components of z-scored features, and their shares of the variance."""
    left, size, _ = np.linalg.svd(standardised(table), full_matrices=False)
    scores = np.zeros((len(table), 2))
    shares = np.zeros(2)
    count = min(2, size.size)
    scores[:, :count] = left[:, :count] * size[:count]
    shares[:count] = size[:count] ** 2 / max(float(np.sum(size**2)), 1e-30)
    return scores, shares


def components_picture(units: Units, factors: list[Factor]) -> bytes:
    """PNG: a panel a factor, a point a patient and reconstruction, lines between those paired."""
    scores, shares = principal_components(units.features)
    figure = Figure(figsize=(7.2 * len(factors), 5.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, factor in zip(
        figure.subplots(1, len(factors), squeeze=False)[0], factors, strict=True
    ):
        for acquisition in sorted(set(units.acquisitions.tolist())):
            line = scores[units.acquisitions == acquisition]
            axes.plot(*line.T, color="#bbbbbb", linewidth=0.7, zorder=1)
        for number, level in enumerate(factor.kinds[:_SHOWN]):
            axes.scatter(
                *scores[factor.levels == level].T,
                s=26,
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKERS[number // len(_COLOURS)],
                # A leading underscore would hide a level, a dollar sign start a formula.
                label=" " + level[:40].replace("$", r"\$"),
                zorder=2,
            )
        rest = np.isin(factor.levels, factor.kinds[_SHOWN:])
        axes.scatter(*scores[rest].T, s=12, color="#cccccc", zorder=1)
        axes.set_title(f"by {factor.name}")
        axes.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"component 2 ({shares[1]:.0%})")
        axes.spines[["top", "right"]].set_visible(False)
        columns = 1 + (len(factor.kinds[:_SHOWN]) - 1) // _COLUMN
        axes.legend(
            fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), ncols=columns
        )
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Names from headers may be in any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
