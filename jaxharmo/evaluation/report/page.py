"""``report.html``: verdict, pictures and analyses of an evaluation in one self-contained page."""

import html
from collections.abc import Sequence

import numpy as np

from jaxharmo.evaluation.fid import bias_note
from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING, COMBAT
from jaxharmo.evaluation.metrics import BY_NAME, Metric
from jaxharmo.evaluation.pair_result import PairResult
from jaxharmo.evaluation.report import pictures, tables
from jaxharmo.evaluation.report.colours import colour, legend
from jaxharmo.evaluation.report.views import RESOLUTION, pair_viewer
from jaxharmo.evaluation.sentence import READING, verdict_sentence
from jaxharmo.evaluation.texture import FREQUENCIES
from jaxharmo.pages import plots
from jaxharmo.pages.document import page
from jaxharmo.pages.slices import SliceStore
from jaxharmo.pages.tables import Cell, Row, table
from jaxharmo.pages.viewer import LUNG

MOVED = 15
"""Radiomic features shown for a pair."""
_OPEN = 1
"""Pairs whose section is open at first."""
_FEWEST = 20
"""Patients below which the report warns of their number."""


def html_report(metrics: dict, pairs: Sequence[PairResult]) -> str:
    """The page; ``metrics`` as in metrics.json."""
    first = pairs[0].example
    window = metrics["window_hu"]
    store = SliceStore(RESOLUTION)
    sections = [
        _pair(metrics, summary, pair, store, opened=index < _OPEN)
        for index, (summary, pair) in enumerate(zip(metrics["pairs"], pairs, strict=True))
    ]
    return page(
        f"jaxharmo evaluation: {metrics['model']}",
        f"""<h1>Evaluation of {html.escape(metrics["model"])}</h1>
<p class="verdict">{html.escape(verdict_sentence(metrics))}</p>
<p>{_facts(metrics)}</p>
<section><h2>All directions</h2>{tables.verdict(metrics)}
{_key()}</section>
<section><h2>{tables.title(metrics["pairs"][0])}</h2>
{_viewer(metrics["pairs"][0], pairs[0], window, store)}
{pictures.patch_strip(first, metrics["methods"])}
{pictures.edge_strip(first)}
<p>{_picture_note(window)}</p></section>
<details><summary>How to read the figures</summary>{_reading(metrics)}</details>
{"".join(sections)}
<section><h2>Samples, bias and limits</h2>{_limits(metrics)}</section>""",
        store,
    )


def _key() -> str:
    """Legend of the arrows, brackets and colours in the table."""
    return f"""<ul class="legend">
<li><b>a → b</b> the source as it is → the model's translation, against the target domain</li>
<li><b>[ ]</b> the best baseline; ComBat, which corrects features and makes no image</li>
<li><b>( )</b> the ceiling, which is the score of the real paired slice; or the value of the target
domain</li>
<li><i class="better"></i> nearer to the target than the source was</li>
<li><i class="worse"></i> farther from it</li></ul>
<p>Comparisons with the source (edges, Dice, shift) should match their ceiling, not exceed it.
{READING}</p>"""


def _viewer(summary: dict, pair: PairResult, window: Sequence[float], store: SliceStore) -> str:
    still = pictures.slice_strip(pair.example, window)
    return pair_viewer(pair.shown, summary["scores"], window, store, still)


def _facts(metrics: dict) -> str:
    domains = "; ".join(
        f"{html.escape(domain['name'])}: {_count(domain['slices'], 'slice')} of "
        f"{_count(domain['patients'], 'patient')}"
        for domain in metrics["domains"]
    )
    return (
        f"Split <b>{html.escape(metrics['split'])}</b>; baselines fitted and references drawn on "
        f"<b>{html.escape(metrics['fitted_on'])}</b>. {domains}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _reading(metrics: dict) -> str:
    radiomics = metrics["radiomics"]
    where = "lung" if radiomics["roi"] == "lung" else "body (not every domain shows lung)"
    engine = "pyradiomics" if radiomics["engine"] == "pyradiomics" else "the native engine"
    methods = "".join(f"<li>{html.escape(name)}</li>" for name in metrics["methods"].values())
    return f"""<p>All methods translate the same slices and are scored by the same measures:</p>
<ul>{methods}</ul>
<p>Deep features are computed on tiles of {metrics["tile"]} pixels at native spacing, from HU in the
fixed window {_range(metrics["window_hu"])}; no image is scaled by its own range.
{radiomics["features"]} radiomic features are measured in the {where} by {engine}, with bins of
{radiomics["bin_width_hu"]:g} HU. Intervals are 95 %, by resampling patients. A dash means that the
figure is not defined for the method.</p>
{tables.legend(lambda figure: True, metrics)}"""


def _pair(
    metrics: dict, summary: dict, pair: PairResult, store: SliceStore, *, opened: bool
) -> str:
    titles, models = metrics["methods"], metrics["models"]
    titles = {name: title for name, title in titles.items() if name in pair.scores}
    window = metrics["window_hu"]

    def group(*names: str) -> str:
        return tables.methods_table(summary, titles, models, lambda f: f.group in names)

    whose = summary["patients"]
    return f"""<details{" open" if opened else ""}>
<summary>{tables.title(summary)}</summary>
<p>{_count(summary["slices"], "slice")} translated, {summary["paired"]} of them paired. Patients:
source {whose["source"]}, target {whose["target"]}, in both {whose["shared"]}.</p>
{"" if opened else _viewer(summary, pair, window, store)}
{"" if opened else pictures.patch_strip(pair.example, titles)}
{"" if opened else pictures.edge_strip(pair.example)}
{_colours(titles)}
<h3>Against the truth</h3>{_truth(summary, titles, group)}
<h3>Deep features</h3>
<p>Lower is nearer to the target domain. The dashed line is the distance between two halves of the
real target domain. A distance below it can be chance.</p>
{_dots(metrics, summary, titles, ("fd_lite0_texture", "fd_lite0_semantic", "fid"))}
{group("deep")}
<h3>Radiomics</h3>
<p>A feature is “aligned” if a test finds no difference, which is easy in small samples. Equivalence
(TOST) is stricter: it has to be shown. ComBat corrects features only and makes no image.</p>
{_dots(metrics, summary, titles, ("radiomics_median_abs_g", "frechet_radiomics"))}
{group("radiomics")}
{_moved(pair)}
<h3>Texture</h3>
<p>The first plot shows GLCM contrast at four angles and four distances: translation against target,
in percent; white means no difference. The others show power by frequency. The curve of a good
translation lies on the dashed line, the target domain.</p>
{_texture(pair, titles)}
{group("texture")}
<h3>Anatomy</h3>
<p>Each translation is compared with its source. The goal is the score of the real paired slice
(last row), not the highest score, because a kernel itself changes edges and noise.</p>
{group("structure")}
<h3>Emphysema</h3>
<p>Density measures of emphysema. They should match those of the target domain.</p>
{group("density")}
</details>"""


def _truth(summary: dict, titles: dict[str, str], group) -> str:
    rmse = summary["scores"].get("rmse_hu", {})
    before = rmse.get(BEFORE)
    if not before:
        return "<p>No slice of this pair is paired, so only distributions can be compared.</p>"
    cut = [
        f"{html.escape(titles[name])} {100 * (1 - value / before):.0f} %".replace("-", "−")
        for name, value in rmse.items()
        if name not in (BEFORE, CEILING) and value is not None
    ]
    return (
        f"<p>Reduction of the RMSE against the paired real slice: {'; '.join(cut)}.</p>"
        f"{group('truth')}"
    )


def _dots(metrics: dict, summary: dict, titles: dict[str, str], figures: Sequence[str]) -> str:
    floors = {domain["name"]: domain["floor"] for domain in metrics["domains"]}
    found = []
    for name in figures:
        values, intervals = summary["scores"].get(name, {}), summary["intervals"].get(name, {})
        dots = [
            plots.Dot(
                _label(method, title), colour(method), values[method], *intervals.get(method, ())
            )
            for method, title in titles.items()
            if values.get(method) is not None
        ]
        figure: Metric = BY_NAME[name]
        floor = floors[summary["target"]].get(name)
        found.append(plots.dot_plot(figure.title, figure.unit, dots, floor))
    return f'<div class="plots">{"".join(found)}</div>'


def _label(method: str, title: str) -> str:
    # The titles of guidances are long; those of entries are names.
    if method.startswith(AFTER) and title.startswith("model"):
        return "model" if method == AFTER else f"model, {method.removeprefix(AFTER + '_')}"
    return title.replace("spectral filter, paired", "paired filter").replace(" on features", "")


def _colours(titles: dict[str, str]) -> str:
    named = {name: _label(name, title) for name, title in titles.items()}
    return legend(named | {"target": "target domain"})


def _moved(pair: PairResult) -> str:
    """The features whose distance to the target domain changed most, for better or worse."""
    first, second = pair.scores[BEFORE].features, pair.scores[AFTER].features
    if first is None or second is None:
        return "<p>No radiomic feature could be compared.</p>"
    before, after = first.slices.hedges_g, second.slices.hedges_g
    change = np.abs(np.abs(after) - np.abs(before))
    order = np.argsort(-np.where(np.isfinite(change), change, -1))[:MOVED]
    order = [index for index in order.tolist() if np.isfinite(change[index])]
    if not order:
        return ""
    names = [pair.names[index] for index in order]
    plot = plots.change_plot(
        f"The {len(order)} features that changed most",
        names,
        before[order].tolist(),
        after[order].tolist(),
        "Hedges g: hollow before, full after",
    )
    return f'<div class="plots">{plot}</div>'


def _texture(pair: PairResult, titles: dict[str, str]) -> str:
    target = pair.target_profiles
    # A plain image has no contrast.
    with np.errstate(invalid="ignore", divide="ignore"):
        grid = 100 * (pair.profiles[AFTER]["glcm"] / target["glcm"] - 1)
    distances, angles = ("1", "2–3", "4–5", "6–7"), ("0°", "45°", "90°", "135°")
    found = [
        plots.grid_plot(
            "GLCM contrast, translated / target, %", angles, distances, grid.reshape(4, 4)
        )
    ]
    shown = [name for name in (BEFORE, AFTER, "spectral_paired") if name in pair.profiles]
    for name, title in (("power", "Radial power"), ("noise", "Noise power, soft tissue")):
        curves = [
            plots.Curve(
                _label(each, titles[each]), colour(each), FREQUENCIES, pair.profiles[each][name]
            )
            for each in shown
        ]
        curves.append(
            plots.Curve("target domain", colour("target"), FREQUENCIES, target[name], dashed=True)
        )
        found.append(
            plots.curve_plot(
                f"{title}, HU² mm²", "frequency, line pairs per cm", curves, logarithmic=True
            )
        )
    return f'<div class="plots">{"".join(found)}</div>'


def _picture_note(window: Sequence[float]) -> str:
    return (
        f"Slices in {_range(window)} HU; differences blue −{pictures.DIFFERENCE:.0f} HU, white 0, "
        f"red +{pictures.DIFFERENCE:.0f} HU. Patches of {pictures.PATCH} pixels in the lung window "
        f"{_range(LUNG)} HU. Look for texture that matches the target, and for "
        "vessels that are neither lost nor invented."
    )


def _limits(metrics: dict) -> str:
    domains = metrics["domains"]
    patients = min(domain["patients"] for domain in domains)
    tiles = min(domain["tiles"] for domain in domains)
    notes = [
        "For research. Not a medical device: translated slices are not for diagnosis.",
        "FD-Lite0 is not the FID: its features are those of EfficientNet-Lite0.",
        f"{COMBAT.capitalize()} and the paired filter use data that the model does not use: ComBat "
        "the features that are scored, the filter paired slices.",
        "Domains of different patients also differ in anatomy. Only figures against paired slices "
        "are free of this.",
    ]
    for features, name in ((64, "texture"), (1280, "semantic")):
        note = bias_note(tiles, features)
        if note:
            notes.append(f"FD-Lite0 {name}: {note}.")
    if patients < _FEWEST:
        few = "one patient" if patients == 1 else f"{patients} patients"
        notes.append(
            f"The smallest domain has {few}. Slices of one patient are not independent: p values "
            "by slice are too small, and intervals over few patients are rough."
        )
    heads = ("domain", "slices", "patients", "tiles", "regions", "FD-Lite0 texture of two halves")
    rows = [
        Row(
            Cell(html.escape(domain["name"])),
            [
                *(Cell(str(domain[name])) for name in ("slices", "patients", "tiles", "rois")),
                Cell(tables.number(domain["floor"].get("fd_lite0_texture"), 1)),
            ],
        )
        for domain in domains
    ]
    seconds = ", ".join(f"{name} {took:.0f} s" for name, took in metrics["seconds"].items())
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f"<ul>{items}</ul>{table(heads, rows)}<p>Time: {html.escape(seconds)}.</p>"


def _range(window: Sequence[float]) -> str:
    return f"[{window[0]:.0f}, {window[1]:.0f}]".replace("-", "−")
