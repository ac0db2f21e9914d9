"""``report.html``: verdict, pictures and radiomics of an evaluation in one self-contained page."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
from jaxtyping import Float, UInt8
from scipy import ndimage

from jaxharmo.ops.tissue import Tissue

LUNG_WINDOW = (-1350.0, 150.0)
"""HU range of the patches."""
DIFFERENCE = 150.0
"""HU at which blue and red are full."""
PATCH = 96
"""Side of a patch, pixels."""
MOVED = 12
"""Radiomic features shown for a pair."""


class Example(NamedTuple):
    """One slice for the report, HU."""

    source: Float[np.ndarray, "h w"]
    translated: Float[np.ndarray, "h w"]
    target: Float[np.ndarray, "h2 w2"]
    """The paired truth, or some slice of the target domain."""
    paired: bool
    tissue: Tissue


def html_report(metrics: dict, pairs: Iterable[tuple[Example, list[dict]]]) -> str:
    """The page; ``metrics`` as in metrics.json, an example and the radiomics rows of each pair."""
    sections = [
        _section(summary, example, features, metrics["window_hu"])
        for summary, (example, features) in zip(metrics["pairs"], pairs, strict=True)
    ]
    model = html.escape(metrics["model"])
    return _PAGE.format(
        style=_STYLE,
        model=model,
        facts=_facts(metrics),
        verdict=_verdict(metrics),
        reading=_reading(metrics),
        sections="\n".join(sections),
        limits=_limits(metrics),
    )


_COLUMNS = (
    ("rmse_hu", "RMSE<br>HU", 1),
    ("fd_lite0_texture", "FD-Lite0<br>texture", 1),
    ("fd_lite0_semantic", "FD-Lite0<br>semantic", 1),
    ("radiomics_significant", "Features<br>that differ", 0),
    ("radiomics_median_abs_g", "Median<br>|Hedges g|", 2),
    ("lung_dice", "Lung<br>Dice", 3),
    ("edges", "Edges", 2),
    ("shift_hu_lung", "Shift, lung<br>HU", 1),
    ("shift_hu_soft_tissue", "Shift, soft<br>tissue HU", 1),
)


def _verdict(metrics: dict) -> str:
    heads = "".join(f"<th>{title}</th>" for _, title, _ in _COLUMNS)
    rows = [(_title(pair), pair["scores"]) for pair in metrics["pairs"]]
    if len(rows) > 1:
        rows.append(("mean of the pairs", metrics["mean"]))
    body = "".join(
        f"<tr><th>{title}</th>"
        + "".join(_cell(scores[name], digits) for name, _, digits in _COLUMNS)
        + "</tr>"
        for title, scores in rows
    )
    return _table(f"<tr><th>source → target</th>{heads}</tr>", body)


def _cell(score: dict, digits: int) -> str:
    def figure(value: float | None) -> str:
        return "—" if value is None else f"{value:z.{digits}f}".replace("-", "−")

    if "before" not in score:
        made, truth = figure(score["translation"]), score["truth"]
        aside = "" if truth is None else f' <span class="truth">({figure(truth)})</span>'
        return f"<td>{made}{aside}</td>"
    before, after = score["before"], score["after"]
    if before is None or after is None:
        return "<td>—</td>"
    kind = "better" if after < before else "worse" if after > before else ""
    return f'<td class="{kind}">{figure(before)} → {figure(after)}</td>'


def _table(head: str, body: str) -> str:
    table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _title(pair: dict) -> str:
    return f"{html.escape(pair['source'])} <br>→ {html.escape(pair['target'])}"


def _facts(metrics: dict) -> str:
    domains = "; ".join(
        f"{html.escape(domain['name'])}: {domain['slices']} slices, {domain['tiles']} tiles"
        for domain in metrics["domains"]
    )
    return f"Split <b>{html.escape(metrics['split'])}</b>. {domains}."


def _reading(metrics: dict) -> str:
    radiomics = metrics["radiomics"]
    where = "lung" if radiomics["roi"] == "lung" else "body (not every domain shows lung)"
    engine = "pyradiomics" if radiomics["engine"] == "pyradiomics" else "the native engine"
    return f"""<dl>
<dt>before → after</dt><dd>The source slices as they are, then their translation, each against the
target domain. Green is nearer to the target, red is farther.</dd>
<dt>RMSE</dt><dd>Against the same acquisition reconstructed with the target's kernel, clipped to
{_range(metrics["window_hu"])} HU; a dash where no such pair exists.</dd>
<dt>FD-Lite0</dt><dd>Fréchet distance to the target domain between EfficientNet-Lite0 features of
tiles of {metrics["tile"]} pixels. <i>Texture</i> (shallow layers) follows the kernel,
<i>semantic</i> (last layer) the anatomy as well. It is not the FID of Inception networks.</dd>
<dt>Features that differ, Hedges g</dt><dd>Of {radiomics["features"]} radiomic features measured in
the {where} by {engine}: how many differ from the target domain (Welch's t, false discovery rate
5 %), and the median size of the differences in standard deviations. Few significant differences in
few slices do not prove likeness: look at g.</dd>
<dt>Lung Dice, edges, shift</dt><dd>Translation against its own source: overlap of the lungs,
agreement of edges within a pixel, change of mean HU. In brackets what the paired truth itself
scores, which a perfect translation would match rather than exceed.</dd>
</dl>"""


def _range(window: Sequence[float]) -> str:
    return f"[{window[0]:.0f}, {window[1]:.0f}]".replace("-", "−")


def _section(pair: dict, example: Example, features: list[dict], window: Sequence[float]) -> str:
    target = "paired target" if example.paired else "target domain, another slice"
    shown = [
        ("source", example.source),
        ("translated", example.translated),
        (target, example.target),
    ]
    slices = [_figure(name, _grey(hu, window)) for name, hu in shown]
    slices.append(_figure("translated − source", _difference(example.translated - example.source)))
    if example.paired:
        slices.append(
            _figure("translated − paired", _difference(example.translated - example.target))
        )
    patch = _patch(example)
    patches = [_figure(name, _grey(hu[patch], LUNG_WINDOW), "patch") for name, hu in shown]
    return f"""<section>
<h2>{_title(pair)}</h2>
<p>{pair["slices"]} slices translated, {pair["paired"]} of them paired. Slices in {_range(window)}
HU; differences blue −{DIFFERENCE:.0f} HU, white 0, red +{DIFFERENCE:.0f} HU.</p>
<div class="scroll strip" tabindex="0">{"".join(slices)}</div>
<p>Patch of {PATCH} pixels, lung window {_range(LUNG_WINDOW)} HU.</p>
<div class="scroll strip" tabindex="0">{"".join(patches)}</div>
{_moved(features)}
</section>"""


def _moved(features: list[dict]) -> str:
    """The features whose distance to the target domain changed most, for better or worse."""
    known = [
        row for row in features if np.isfinite(row["g_before"]) and np.isfinite(row["g_after"])
    ]
    known.sort(key=lambda row: abs(abs(row["g_after"]) - abs(row["g_before"])), reverse=True)
    if not known:
        return "<p>No radiomic feature could be compared.</p>"
    body = "".join(
        f"<tr><th>{html.escape(row['feature'])}</th>"
        + "".join(
            f"<td>{row[f'{side}_mean']:.4g}</td>" for side in ("source", "translated", "target")
        )
        + _cell({"before": abs(row["g_before"]), "after": abs(row["g_after"])}, 2)
        + f"<td>{row['q_before']:.2g} → {row['q_after']:.2g}</td></tr>"
        for row in known[:MOVED]
    )
    head = "<tr><th>feature</th><th>source</th><th>translated</th><th>target</th>"
    head += "<th>|Hedges g|</th><th>q</th></tr>"
    return (
        f"<p>The {min(MOVED, len(known))} radiomic features that moved most: means, distance to "
        "the target domain in standard deviations, p adjusted for the false discovery rate.</p>"
        + _table(head, body)
    )


def _limits(metrics: dict) -> str:
    counts = [domain["slices"] for domain in metrics["domains"]]
    fewest, tiles = min(counts), min(domain["tiles"] for domain in metrics["domains"])
    return f"""<ul>
<li>For research. Not a medical device: translated slices are not for diagnosis.</li>
<li>The smallest domain has {fewest} slices and {tiles} tiles. A Fréchet distance from few tiles
(the features are 64 and 1280) is biased upwards: compare runs on the same slices only.</li>
<li>Slices of one patient, and overlapping tiles, are not independent: p values are too small.</li>
<li>Domains of different patients differ in anatomy too; only figures against paired truth are free
of that.</li>
</ul>"""


def _patch(example: Example) -> tuple[slice, slice]:
    """Around the pixel deepest in the lung, or in the body where there is none."""
    mask = example.tissue.lung if example.tissue.lung.any() else example.tissue.body
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    centre = np.unravel_index(int(depth.argmax()), depth.shape)
    starts = [
        max(0, min(int(middle) - PATCH // 2, side - PATCH))
        for middle, side in zip(centre, mask.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + PATCH), slice(starts[1], starts[1] + PATCH)


def _grey(hu: np.ndarray, window: Sequence[float]) -> UInt8[np.ndarray, "h w"]:
    low, high = window
    return np.round(255 * np.clip((hu - low) / (high - low), 0, 1)).astype(np.uint8)


def _difference(hu: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Blue below zero, white at zero, red above."""
    strength = np.clip(hu / DIFFERENCE, -1, 1)[..., None]
    end = np.where(strength < 0, (33, 74, 160), (172, 28, 38))
    return np.round(255 + np.abs(strength) * (end - 255.0)).astype(np.uint8)


def _figure(caption: str, pixels: np.ndarray, kind: str = "slice") -> str:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img class="{kind}" src="data:image/png;base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


_STYLE = """
:root { color-scheme: light; --ink: #1d2530; --soft: #5c6878; --line: #dfe4ea; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px clamp(12px, 3vw, 32px) 64px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 8px 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 4px; overflow-wrap: anywhere; }
p, dd, li { color: var(--soft); overflow-wrap: anywhere; max-width: 90ch; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px clamp(12px, 2vw, 24px); margin: 18px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums;
  width: 100%; }
th, td { padding: 7px 9px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; font-weight: 600; }
tbody th:first-child { white-space: normal; min-width: 11em; overflow-wrap: anywhere; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
.better { background: #e3f3e8; color: #14532d; }
.worse { background: #fbe6e4; color: #7f1d1d; }
.truth { color: var(--soft); }
.strip { display: flex; gap: 12px; padding-bottom: 6px; }
figure { margin: 0; flex: none; }
img { display: block; border-radius: 6px; border: 1px solid var(--line); }
.slice { height: 212px; }
.patch { height: 288px; image-rendering: pixelated; }
figcaption { color: var(--soft); font-size: .8125rem; padding-top: 4px; }
dt { font-weight: 600; margin-top: 8px; } dd { margin: 0; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>jaxharmo evaluation: {model}</title>
<style>{style}</style>
</head>
<body><main>
<h1>Evaluation of {model}</h1>
<p>{facts}</p>
<section><h2>Verdict</h2>{verdict}</section>
<section><h2>How to read it</h2>{reading}</section>
{sections}
<section><h2>Limits</h2>{limits}</section>
</main></body>
</html>
"""
