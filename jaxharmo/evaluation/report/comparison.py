"""``comparison.html``: runs side by side."""

import html
import math
from collections.abc import Sequence

from jaxharmo.evaluation.methods import AFTER, BEFORE
from jaxharmo.evaluation.metrics import BY_NAME
from jaxharmo.evaluation.report.tables import HEADLINES, number, title
from jaxharmo.pages.document import page
from jaxharmo.pages.tables import Cell, Row, table

_SHOWN = 0.05


def comparison_report(runs: Sequence[tuple[str, dict]], rows: Sequence[dict]) -> str:
    """The page, from runs as (name, metrics) and the rows of comparison.csv."""
    names = ", ".join(html.escape(name) for name, _ in runs)
    return page(
        "jaxharmo comparison",
        f"""<h1>Comparison of {names}</h1>
<section><h2>Figures of all runs</h2>
<p>The model of each run, guided by latents if it was evaluated so. Bold: nearest to the goal.</p>
{_side_by_side(runs)}</section>
<section><h2>Tests paired by slice</h2>
<p>Difference of the distances to the goal, second run minus first. Negative means that the second
run is nearer (green if q &lt; 0.05). Intervals and p are by patient, because slices of one patient
are not independent; p cannot fall below 2 / 2^patients. q is p adjusted for all rows.</p>
{_tests(rows)}</section>""",
    )


def _side_by_side(runs: Sequence[tuple[str, dict]]) -> str:
    pairs = runs[0][1]["pairs"]
    rows = []
    for index, pair in enumerate(pairs):
        for name in HEADLINES:
            figure = BY_NAME[name]
            scores = pair["scores"].get(name, {})
            values = [_of(metrics, index, name) for _, metrics in runs]
            if all(value is None for value in values):
                continue
            best = _best(figure.aim, values)
            shown = [number(value, figure.digits) for value in values]
            cells = [
                Cell(f"<b>{text}</b>" if value is not None and value == best else text)
                for text, value in zip(shown, values, strict=True)
            ]
            unit = f" <small>{html.escape(figure.unit)}</small>" if figure.unit else ""
            before = Cell(number(scores.get(BEFORE), figure.digits))
            named = Cell(f"{html.escape(figure.title)}{unit}")
            rows.append(Row(Cell(title(pair)), [named, before, *cells]))
    names = (html.escape(name) for name, _ in runs)
    return table(["source → target", "figure", "before", *names], rows)


def _of(metrics: dict, index: int, name: str) -> float | None:
    return metrics["pairs"][index]["scores"].get(name, {}).get(AFTER)


def _best(aim: str, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if aim == "low":
        return min(known)
    if aim == "high":
        return max(known)
    return min(known, key=lambda value: abs(value - 0.5)) if aim == "half" else None


def _tests(rows: Sequence[dict]) -> str:
    heads = ("source → target", "figure", "runs", "difference", "95 % interval", "p", "q",
             "patients", "slices")  # fmt: skip
    body = []
    for row in rows:
        figure = BY_NAME[row["figure"]]
        digits = figure.digits + 1
        kind = ("better" if row["mean"] < 0 else "worse") if row["q"] < _SHOWN else ""
        ends = " to ".join(_figure(row[end], digits) for end in ("low", "high"))
        runs = f"{html.escape(row['other'])}<small>minus {html.escape(row['first'])}</small>"
        texts = (ends, _figure(row["p"], 3), _figure(row["q"], 3), row["patients"], row["slices"])
        cells = [
            Cell(html.escape(figure.title)),
            Cell(runs),
            Cell(_figure(row["mean"], digits), kind),
            *(Cell(str(text)) for text in texts),
        ]
        body.append(Row(Cell(title(row)), cells))
    return table(heads, body)


def _figure(value: float, digits: int) -> str:
    return number(value if math.isfinite(value) else None, digits)
