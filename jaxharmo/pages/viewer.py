"""The viewer's place in a page: layers of the same slices, to be compared by ``viewer.js``."""

import html
import json
from collections.abc import Sequence
from typing import NamedTuple

Window = tuple[float, float]
"""Lowest and highest HU, black and white."""

LUNG: Window = (-1350.0, 150.0)
MEDIASTINUM: Window = (-160.0, 240.0)
"""HU: the usual display windows, width 1500 at -600 and width 400 at 40."""


class Layer(NamedTuple):
    """One version of the slices."""

    name: str
    slices: Sequence[int]
    """Numbers in the page's ``SliceStore``, from bottom to top."""


def viewer(
    layers: Sequence[Layer],
    captions: Sequence[str],
    model_window: Window | None,
    spacing: tuple[float, float],
    still: str,
) -> str:
    """A viewer, with ``still``, HTML, in its place where scripts do not run.

    The first layer lies to the left of the slider, the second to the right; there are two at least.
    ``captions`` has one text a slice, ``spacing`` is that of rows and columns, mm. Texts may hold
    anything: they travel as escaped JSON and are set as text.
    """
    windows = {"lung": LUNG, "mediastinum": MEDIASTINUM}
    if model_window is not None:
        windows["model"] = model_window
    content = {
        "layers": [{"name": layer.name, "slices": list(layer.slices)} for layer in layers],
        "captions": list(captions),
        "windows": {name: list(window) for name, window in windows.items()},
        "spacing": list(spacing),
    }
    data = html.escape(json.dumps(content))
    return f'<div class="viewer" data-view="{data}"></div><div class="still">{still}</div>'
