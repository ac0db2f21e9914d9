"""Tables of figures: the verdict over all pairs, and all methods of one pair."""

import html
from collections.abc import Callable, Sequence

from jaxharmo.evaluation.figures import BY_NAME, FIGURES, Figure, gain
from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING, COMBAT
from jaxharmo.evaluation.verdict import best_baseline

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
"""Of the verdict, as far as a run has them."""
_SHORT = {
    "histogram": "histogram",
    "spectral": "spectral",
    "spectral_paired": "paired filter",
}


def verdict(metrics: dict) -> str:
    """A row a pair: before → after, best baseline, ceiling."""
    names = [name for name in HEADLINES if name in metrics["mean"]]
    heads = "".join(f"<th>{_head(BY_NAME[name])}</th>" for name in names)
    rows = [
        (title(pair), pair["scores"], pair.get("target_values", {})) for pair in metrics["pairs"]
    ]
    if len(rows) > 1:
        rows.append(("mean of the pairs", metrics["mean"], {}))
    body = "".join(
        f"<tr><th>{name}</th>"
        + "".join(_verdict_cell(BY_NAME[each], scores.get(each, {}), real) for each in names)
        + "</tr>"
        for name, scores, real in rows
    )
    return table(f"<tr><th>source → target</th>{heads}</tr>", body)


def methods_table(
    pair: dict, titles: dict[str, str], models: Sequence[str], keep: Callable[[Figure], bool]
) -> str:
    """A row a method, a column a figure; intervals over patients below their value."""
    figures = [each for each in FIGURES if keep(each) and _known(pair["scores"].get(each.name))]
    if not figures:
        return ""
    heads = "".join(f"<th>{_head(each)}</th>" for each in figures)
    rows = []
    for method, name in titles.items():
        cells = [
            _cell(each, pair, method) if method in pair["scores"][each.name] else "<td></td>"
            for each in figures
        ]
        if any(cell != "<td></td>" for cell in cells):
            kind = ' class="model"' if method in models else ""
            rows.append(f"<tr{kind}><th>{html.escape(name)}</th>{''.join(cells)}</tr>")
    real = pair.get("target_values", {})
    if any(each.name in real for each in figures):
        cells = [f"<td>{number(real.get(each.name), each.digits)}</td>" for each in figures]
        rows.append(f"<tr><th>target domain</th>{''.join(cells)}</tr>")
    return table(f"<tr><th>method</th>{heads}</tr>", "".join(rows))


def legend(keep: Callable[[Figure], bool], metrics: dict) -> str:
    """What each column says."""
    items = "".join(
        f"<div><dt>{html.escape(each.title)}</dt><dd>{html.escape(each.reading)}.</dd></div>"
        for each in FIGURES
        if keep(each) and each.name in metrics["mean"]
    )
    return f"<dl>{items}</dl>"


def table(head: str, body: str) -> str:
    """A table that scrolls in a box of its own where it is wider than the page."""
    inner = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{inner}</div>'


def title(pair: dict) -> str:
    """Source → target, escaped."""
    return f"{html.escape(pair['source'])} <br>→ {html.escape(pair['target'])}"


def number(value: float | None, digits: int) -> str:
    """A figure for the reader; a dash for none."""
    if value is None:
        return "—"
    return f"{value:z.{digits if abs(value) < 1000 else 0}f}".replace("-", "−")


def _head(figure: Figure) -> str:
    unit = f"<small>{html.escape(figure.unit)}</small>" if figure.unit else "<small>&nbsp;</small>"
    return f"{html.escape(figure.title)}{unit}"


def _known(methods: dict | None) -> bool:
    return methods is not None and any(value is not None for value in methods.values())


def _verdict_cell(figure: Figure, methods: dict, real: dict) -> str:
    before, after = methods.get(BEFORE), methods.get(AFTER)
    if after is None:
        return "<td>—</td>"
    goal = real.get(figure.name, methods.get(CEILING))
    asides = []
    if figure.aim in ("low", "high"):
        best = best_baseline(methods, figure.name)
        if best:
            asides.append(f"{_SHORT[best[0]]} {number(best[1], figure.digits)}")
        if methods.get(COMBAT) is not None:
            asides.append(f"ComBat {number(methods[COMBAT], figure.digits)}")
    if figure.aim == "target" and figure.name in real:
        asides.append(f"target {number(real[figure.name], figure.digits)}")
    elif methods.get(CEILING) is not None:
        asides.append(f"ceiling {number(methods[CEILING], figure.digits)}")
    notes = "".join(f"<small>{aside}</small>" for aside in asides)
    if figure.aim == "ceiling":
        return f"<td>{number(after, figure.digits)}{notes}</td>"
    shown = f"{number(before, figure.digits)} → {number(after, figure.digits)}"
    nearer = None if before is None else gain(figure, before, after, goal)
    kind = "" if not nearer or nearer != nearer else "better" if nearer > 0 else "worse"
    return f'<td class="{kind}">{shown}{notes}</td>'


def _cell(figure: Figure, pair: dict, method: str) -> str:
    value = pair["scores"][figure.name][method]
    interval = pair["intervals"].get(figure.name, {}).get(method)
    aside = ""
    if interval:
        ends = " to ".join(number(end, figure.digits) for end in interval)
        aside = f"<small>{ends}</small>"
    return f"<td>{number(value, figure.digits)}{aside}</td>"
