"""What was found for one ordered pair of domains."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.evaluation.comparisons import Row
from jaxharmo.evaluation.metrics import BY_NAME
from jaxharmo.evaluation.pairs import Example, Shown
from jaxharmo.evaluation.scores import Scores

Profiles = dict[str, Float[np.ndarray, "k"]]


class PairResult(NamedTuple):
    """What was found for one ordered pair of domains, by method."""

    summary: dict
    """An entry of ``pairs`` in metrics.json, without its figures."""
    titles: dict[str, str]
    rows: dict[str, list[Row]]
    """A row a slice."""
    scores: dict[str, Scores]
    """ComBat, which makes no slices, among them."""
    profiles: dict[str, Profiles]
    target_profiles: Profiles
    tiles: dict[str, int]
    names: tuple[str, ...]
    """Of the radiomic features."""
    target_features: Float[np.ndarray, "f"]
    """Their means in the target domain."""
    example: Example
    """Still pictures for the report."""
    shown: list[Shown]
    """Slices for its viewer."""

    @property
    def figures(self) -> dict:
        """``scores`` and ``intervals`` as metrics.json has them: by figure, then by method."""
        found = {name for scores in self.scores.values() for name in scores.values}
        order = [*(name for name in BY_NAME if name in found), *sorted(found - set(BY_NAME))]
        return {
            "scores": {
                figure: {
                    method: scores.values[figure]
                    for method, scores in self.scores.items()
                    if figure in scores.values
                }
                for figure in order
            },
            "intervals": {
                figure: {
                    method: list(scores.intervals[figure])
                    for method, scores in self.scores.items()
                    if figure in scores.intervals
                }
                for figure in order
                if any(figure in scores.intervals for scores in self.scores.values())
            },
        }
