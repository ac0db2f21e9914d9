"""``RUN/training.html``: curves, pictures and weights of a run so far.

The page is made anew from what the run keeps in its folder, so an interrupted run loses none of it.
"""

import html
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import Float, UInt8

from jaxharmo.config import Config
from jaxharmo.files import write_text
from jaxharmo.pages import plots
from jaxharmo.pages.document import page
from jaxharmo.pages.pictures import figure, lossless
from jaxharmo.pages.slices import SliceStore
from jaxharmo.pages.viewer import Layer, viewer
from jaxharmo.training.metrics_writer import METRICS, SAMPLES
from jaxharmo.training.samples import TRANSLATIONS
from jaxharmo.training.weights import CellWeights

PAGE = "training.html"
_HUES = ("#1f5fa8", "#c98a1b", "#2f8f5b", "#a2559c", "#b04a3a", "#556272")
_POINTS = 400
"""Of a curve, at most."""
_WIDE_RANGE = 30
"""Ratio of the largest to the smallest value, from which a positive curve is logarithmic."""
_RESOLUTION = 4
"""HU; the pictures have 8 bits."""
_PIXELS = 6_000_000
"""Of the pictures in the page, about; the newest is there in any case."""

Grid = UInt8[np.ndarray, "h w"]


def write_page(workdir: Path, step: int, config: Config, weights: CellWeights) -> None:
    """Write the page of a run that has come to ``step``; what lies beyond it is left out."""
    rows = [
        json.loads(line) for line in (workdir / METRICS).read_text(encoding="utf-8").splitlines()
    ]
    store = SliceStore(_RESOLUTION)
    pictures = _pictures(workdir / SAMPLES, step, config, store)
    name = html.escape(workdir.absolute().name)
    content = page(
        f"jaxharmo training: {workdir.absolute().name}",
        f"""<h1>Training of {name}</h1>
<p>Step {step} of {config.train.steps}. Domains: {html.escape("; ".join(config.data.domains))}.
The page is written anew with every sample picture.</p>
<section><h2>Curves</h2><div class="plots">{_curves(rows)}</div></section>
<section><h2>Samples</h2>
<p>From left to right: the source, its translation to every domain in their order, and the cycle
back through the next domain. Slices are the sources, a domain each; left and right are steps.</p>
{pictures}</section>
{_weights(weights, config)}""",
        store,
    )
    write_text(workdir / PAGE, content)


def _curves(rows: list[dict[str, float]]) -> str:
    """A plot a quantity, with a curve for each update that reports it."""
    whole: dict[str, list[str]] = defaultdict(list)
    for name in sorted({name for row in rows for name in row} - {"step"}):
        whole[name.rpartition("/")[2]].append(name)
    thin = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _POINTS)).round().astype(int))
    kept = [rows[index] for index in thin.tolist()]
    found = []
    for quantity, names in sorted(whole.items()):
        curves = []
        for hue, name in zip(_HUES * len(names), names, strict=False):
            points = np.array([(row["step"], row[name]) for row in kept if name in row])
            label = name.rpartition("/")[0] or name
            curves.append(plots.Curve(label, hue, points[:, 0], points[:, 1]))
        values = np.concatenate([curve.y for curve in curves])
        logarithmic = values.min() > 0 and values.max() > _WIDE_RANGE * values.min()
        title = quantity.replace("_", " ")
        found.append(plots.curve_plot(title, "step", curves, logarithmic=bool(logarithmic)))
    return "".join(found) or "<p>None yet.</p>"


def _pictures(folder: Path, step: int, config: Config, store: SliceStore) -> str:
    """The newest grid, and some before it, under one wipe; a slice of the viewer is a row."""
    grids = _grids(folder, step)
    if not grids:
        return "<p>None yet.</p>"
    newest, domains = grids[max(grids)], config.data.domains
    steps = [number for number in sorted(grids) if grids[number].shape == newest.shape]
    count = min(max(_PIXELS // newest.size, 1), len(steps))
    steps = [steps[index] for index in np.linspace(len(steps) - 1, 0, count).round().astype(int)]
    still = figure(lossless(newest), f"step {steps[0]}", "whole")
    if len(steps) == 1:
        return still
    low, high = config.data.window
    layers: list[Layer] = []
    for number in steps:
        hu = low + grids[number] / 255 * (high - low)
        parts = np.split(hu, len(domains))
        newer = [[layer.slices[index] for layer in layers] for index in range(len(parts))]
        slices = [store.add(part, near=near[-1:]) for part, near in zip(parts, newer, strict=True)]
        layers.append(Layer(f"step {number}", slices))
    # The oldest to the left, the newest to the right.
    order = [layers[-1], layers[0], *layers[-2:0:-1]]
    return viewer(order, list(domains), (low, high), (1.0, 1.0), still)


def _grids(folder: Path, step: int) -> dict[int, Grid]:
    """Grids by step; one that a crash left damaged is passed over."""
    found = {}
    for path in folder.glob(f"{TRANSLATIONS}-*.png"):
        number = re.fullmatch(rf"{TRANSLATIONS}-(\d+)", path.stem)
        if number is None or int(number[1]) > step:
            continue
        try:
            with PIL.Image.open(path) as image:
                found[int(number[1])] = np.asarray(image.convert("L"))
        except OSError:
            continue
    return found


def _weights(weights: CellWeights, config: Config) -> str:
    drawn = [
        _texture_weights(values, config)
        if name == "texture"
        else plots.curve_plot(
            f"{name}: weight by band",
            "band, from low to high frequency",
            [plots.Curve("weight", _HUES[0], np.arange(1, len(values) + 1), values)],
            logarithmic=False,
        )
        for name, values in weights.items()
    ]
    if not drawn:
        return ""
    return f"""<section><h2>Weights of the change losses</h2>
<p>How much each cell of a description counts, as measured up to this step; mean over the pairs of
domains. 1 is an even share.</p><div class="plots">{"".join(drawn)}</div></section>"""


def _texture_weights(values: Float[np.ndarray, "f"], config: Config) -> str:
    """Resolution, from fine to coarse, and feature by offset: the order of the descriptor."""
    texture = config.texture
    rows = [
        f"{feature}, detail {band}"
        for band in range(1, texture.resolutions + 1)
        for feature in texture.features
    ]
    columns = [f"{row},{column}" for row, column in texture.glcm.offsets]
    return plots.heat_plot(
        "texture: weight by resolution, feature and offset (rows, columns)",
        rows, columns, values.reshape(len(rows), len(columns)),
    )  # fmt: skip
