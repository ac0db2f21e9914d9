"""``comparison.html``: runs side by side."""

import html
import math
from collections.abc import Sequence

from jaxharmo.evaluation.figures import BY_NAME
from jaxharmo.evaluation.methods import AFTER, BEFORE
from jaxharmo.evaluation.report.page import page
from jaxharmo.evaluation.report.tables import HEADLINES, number, table, title

_SHOWN = 0.05


def comparison_report(runs: Sequence[tuple[str, dict]], rows: Sequence[dict]) -> str:
    """The page; runs by name with their metrics, and the rows of comparison.csv."""
    names = ", ".join(html.escape(name) for name, _ in runs)
    return page(
        "jaxharmo comparison",
        f"""<h1>Comparison of {names}</h1>
<section><h2>Figures of all runs</h2>
<p>The model of each run, latent-guided where it was; bold is nearest to its goal.</p>
{_side_by_side(runs)}</section>
<section><h2>Tests paired by slice</h2>
<p>Difference of the distances to the goal, second run minus first: negative (green where q &lt;
0.05) means that the second is nearer. Intervals and p by patient: slices of one patient are not
independent, and p cannot fall below 2 / 2^patients. q is p adjusted for all rows.</p>
{_tests(rows)}</section>""",
    )


def _side_by_side(runs: Sequence[tuple[str, dict]]) -> str:
    pairs = runs[0][1]["pairs"]
    heads = "".join(f"<th>{html.escape(name)}</th>" for name, _ in runs)
    head = f"<tr><th>source → target</th><th>figure</th><th>before</th>{heads}</tr>"
    body = []
    for index, pair in enumerate(pairs):
        for name in HEADLINES:
            figure = BY_NAME[name]
            scores = pair["scores"].get(name, {})
            values = [_of(metrics, index, name) for _, metrics in runs]
            if all(value is None for value in values):
                continue
            best = _best(figure.aim, values)
            cells = "".join(
                f"<td>{'<b>' if value is not None and value == best else ''}"
                f"{number(value, figure.digits)}"
                f"{'</b>' if value is not None and value == best else ''}</td>"
                for value in values
            )
            unit = f" <small>{html.escape(figure.unit)}</small>" if figure.unit else ""
            body.append(
                f"<tr><th>{title(pair)}</th><td>{html.escape(figure.title)}{unit}</td>"
                f"<td>{number(scores.get(BEFORE), figure.digits)}</td>{cells}</tr>"
            )
    return table(head, "".join(body))


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
    head = "<tr><th>source → target</th><th>figure</th><th>runs</th><th>difference</th>"
    head += "<th>95 % interval</th><th>p</th><th>q</th><th>patients</th><th>slices</th></tr>"
    body = []
    for row in rows:
        figure = BY_NAME[row["figure"]]
        digits = figure.digits + 1
        shown = row["q"] < _SHOWN
        kind = ("better" if row["mean"] < 0 else "worse") if shown else ""
        ends = " to ".join(_figure(row[end], digits) for end in ("low", "high"))
        body.append(
            f"<tr><th>{title(row)}</th><td>{html.escape(figure.title)}</td>"
            f"<td>{html.escape(row['other'])}<small>minus {html.escape(row['first'])}</small></td>"
            f'<td class="{kind}">{_figure(row["mean"], digits)}</td><td>{ends}</td>'
            f"<td>{_figure(row['p'], 3)}</td><td>{_figure(row['q'], 3)}</td>"
            f"<td>{row['patients']}</td><td>{row['slices']}</td></tr>"
        )
    return table(head, "".join(body))


def _figure(value: float, digits: int) -> str:
    return number(value if math.isfinite(value) else None, digits)
