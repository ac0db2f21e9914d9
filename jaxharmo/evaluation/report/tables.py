"""Tables of figures: the verdict over all pairs, and all methods of one pair."""

import html
from collections.abc import Callable, Sequence
from itertools import pairwise

from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING, COMBAT
from jaxharmo.evaluation.metrics import BY_NAME, METRICS, Metric, gain
from jaxharmo.evaluation.summary import best_baseline, short_names
from jaxharmo.pages.tables import Cell, Row, table

HEADLINES = (
    "rmse_hu",
    "fd_lite0_texture",
    "fid",
    "radiomics_median_abs_g",
    "domain_auc",
    "edge_iou",
    "lung_dice",
    "shift_hu_lung",
    "laa950",
)
"""Columns of the first table; those that a run has not measured are left out."""
_SHORT = {
    "histogram": "histogram",
    "spectral": "spectral",
    "spectral_paired": "paired filter",
}
_EMPTY = Cell("")
_MOST_COLUMNS = 9


def verdict(metrics: dict) -> str:
    """One row per pair: before → after, best baseline, ceiling."""
    names = [name for name in HEADLINES if name in metrics["mean"]]
    short = short_names([domain["name"] for domain in metrics["domains"]])
    rows = []
    for pair in metrics["pairs"]:
        whole = html.escape(f"{pair['source']} → {pair['target']}")
        ends = [html.escape(short[pair[end]]) for end in ("source", "target")]
        shown = f'<span title="{whole}">{"<br>→ ".join(ends)}</span>'
        rows.append((shown, pair["scores"], pair.get("target_values", {})))
    if len(rows) > 1:
        rows.append(("mean of the pairs", metrics["mean"], {}))
    body = [
        Row(
            Cell(name), [_verdict_cell(BY_NAME[each], scores.get(each, {}), real) for each in names]
        )
        for name, scores, real in rows
    ]
    return table(["source → target", *(_head(BY_NAME[name]) for name in names)], body)


def methods_table(
    pair: dict, titles: dict[str, str], models: Sequence[str], keep: Callable[[Metric], bool]
) -> str:
    """One row per method, one column per figure; below a value, its interval over patients.

    Figures that do not fit side by side continue in another table below.
    """
    figures = [each for each in METRICS if keep(each) and _known(pair["scores"].get(each.name))]
    count = -(-len(figures) // _MOST_COLUMNS)
    ends = [index * len(figures) // count for index in range(count + 1)] if count else [0]
    return "".join(
        _methods_table(pair, titles, models, figures[start:end]) for start, end in pairwise(ends)
    )


def _methods_table(
    pair: dict, titles: dict[str, str], models: Sequence[str], figures: Sequence[Metric]
) -> str:
    rows = []
    for method, name in titles.items():
        cells = [
            _cell(each, pair, method) if method in pair["scores"][each.name] else _EMPTY
            for each in figures
        ]
        if any(cell != _EMPTY for cell in cells):
            kind = "model" if method in models else ""
            rows.append(Row(Cell(html.escape(name)), cells, kind))
    real = pair.get("target_values", {})
    if any(each.name in real for each in figures):
        cells = [Cell(number(real.get(each.name), each.digits)) for each in figures]
        rows.append(Row(Cell("target domain"), cells))
    return table(["method", *map(_head, figures)], rows)


def legend(keep: Callable[[Metric], bool], metrics: dict) -> str:
    """What each column means."""
    items = "".join(
        f"<div><dt>{html.escape(each.title)}</dt><dd>{html.escape(each.reading)}.</dd></div>"
        for each in METRICS
        if keep(each) and each.name in metrics["mean"]
    )
    return f"<dl>{items}</dl>"


def title(pair: dict) -> str:
    """Source → target, escaped."""
    return f"{html.escape(pair['source'])} <br>→ {html.escape(pair['target'])}"


def number(value: float | None, digits: int) -> str:
    """A figure for the reader; a dash for none."""
    if value is None:
        return "—"
    return f"{value:z.{digits if abs(value) < 1000 else 0}f}".replace("-", "−")


def _head(figure: Metric) -> str:
    unit = f"<small>{html.escape(figure.unit)}</small>" if figure.unit else "<small>&nbsp;</small>"
    return f"{html.escape(figure.title)}{unit}"


def _known(methods: dict | None) -> bool:
    return methods is not None and any(value is not None for value in methods.values())


def _verdict_cell(figure: Metric, methods: dict, real: dict) -> Cell:
    before, after = methods.get(BEFORE), methods.get(AFTER)
    if after is None:
        return Cell("—")
    goal = real.get(figure.name, methods.get(CEILING))
    asides = []
    if figure.aim in ("low", "high"):
        best = best_baseline(methods, figure.name)
        if best:
            asides.append(f"[{_SHORT[best[0]]} {number(best[1], figure.digits)}]")
        if methods.get(COMBAT) is not None:
            asides.append(f"[ComBat {number(methods[COMBAT], figure.digits)}]")
    if figure.aim == "target" and figure.name in real:
        asides.append(f"(target {number(real[figure.name], figure.digits)})")
    elif methods.get(CEILING) is not None:
        asides.append(f"(ceiling {number(methods[CEILING], figure.digits)})")
    notes = "".join(f"<small>{aside}</small>" for aside in asides)
    if figure.aim == "ceiling":
        return Cell(f"{number(after, figure.digits)}{notes}")
    ends = [number(value, figure.digits) for value in (before, after)]
    shown = " → ".join(ends)
    # A change that rounding hides is not coloured.
    nearer = None if before is None or len(set(ends)) < 2 else gain(figure, before, after, goal)
    kind = "" if not nearer or nearer != nearer else "better" if nearer > 0 else "worse"
    return Cell(f"{shown}{notes}", kind)


def _cell(figure: Metric, pair: dict, method: str) -> Cell:
    value = pair["scores"][figure.name][method]
    interval = pair["intervals"].get(figure.name, {}).get(method)
    aside = ""
    if interval:
        ends = " to ".join(number(end, figure.digits) for end in interval)
        aside = f"<small>{ends}</small>"
    return Cell(f"{number(value, figure.digits)}{aside}")
