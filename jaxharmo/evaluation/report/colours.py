"""Colours of the methods, the same in all plots, and their legend."""

import html
from collections.abc import Mapping

from jaxharmo.evaluation.methods import AFTER

_COLOURS = {
    "before": "#8a94a3",
    AFTER: "#1f5fa8",
    "after_2": "#5b9bd5",
    "histogram": "#c98a1b",
    "spectral": "#a2559c",
    "spectral_paired": "#6f3b8f",
    "combat": "#b04a3a",
    "ceiling": "#2f8f5b",
    "target": "#1b2430",
}


def colour(method: str) -> str:
    """Colour of a method; from the second on, all guidances of the model have the same."""
    return _COLOURS.get(method, _COLOURS["after_2"])


def legend(titles: Mapping[str, str]) -> str:
    """The titles of the methods beside their colours."""
    items = "".join(
        f'<li><i style="background:{colour(name)}"></i>{html.escape(title)}</li>'
        for name, title in titles.items()
    )
    return f'<ul class="legend" aria-label="Colours in the plots">{items}</ul>'
