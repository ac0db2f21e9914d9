"""One table of a finished evaluation: a row a method, means over the directions and the seeds."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from jaxharmo.evaluation.methods import BEFORE, CEILING

Kind = Literal["baseline", "paired", "judged"]
"""Fitted without pairs; trained or fitted on pairs; a model or results under judgement."""
Figures = dict[str, float | None]


class Column(NamedTuple):
    """A figure of the table."""

    name: str
    title: str
    digits: int
    best: Literal["low", "high"]


COLUMNS = (
    Column("rmse_hu", "RMSE, HU", 1, "low"),
    Column("reduction", "RMSE reduced, %", 1, "high"),
    Column("ssim_truth", "SSIM", 3, "high"),
    Column("noise_gap", "noise power gap, dB", 2, "low"),
    Column("ccc_median", "radiomics CCC", 2, "high"),
    Column("laa_error", "LAA-950 error, points", 2, "low"),
    Column("fd_lite0_texture", "FD-Lite0 texture", 1, "low"),
)
"""``reduction`` is against the source as it is, ``laa_error`` the distance to the LAA-950 of the
true slices; both are taken in every direction and then averaged. The others are those of
``metrics.json``."""


class Row(NamedTuple):
    """A method, over its seeds."""

    title: str
    kind: Kind
    directions: tuple[dict, ...]
    """``source``, ``target`` and ``figures`` of each, means over the seeds."""
    mean: Figures
    """Over directions and seeds; None where a figure could not be measured."""
    spread: Figures
    """Standard deviation of the mean over seeds; None for one seed."""


def make_row(metrics: dict, title: str, kind: Kind, methods: Sequence[str]) -> Row:
    """The row of a method, whose seeds are ``methods`` in ``metrics`` (see ``evaluate``)."""
    table = np.array(
        [[list(_figures(pair["scores"], name).values()) for pair in metrics["pairs"]]
         for name in methods],
        np.float64,
    )  # fmt: skip
    names = [column.name for column in COLUMNS]
    means = _mean(table, 1)
    seeds = means.std(0, ddof=1) if len(methods) > 1 else np.full(len(names), math.nan)
    return Row(
        title,
        kind,
        tuple(
            {
                "source": pair["source"],
                "target": pair["target"],
                "figures": _named(names, values),
            }
            for pair, values in zip(metrics["pairs"], _mean(table, 0), strict=True)
        ),
        _named(names, _mean(means, 0)),
        _named(names, seeds),
    )


def _figures(scores: Mapping[str, Mapping[str, float | None]], method: str) -> dict[str, float]:
    """Of one direction; NaN where there is none."""

    def value(name: str, of: str = method) -> float:
        found = scores.get(name, {}).get(of)
        return math.nan if found is None else found

    before = value("rmse_hu", BEFORE)
    derived = {
        "reduction": 100 * (1 - value("rmse_hu") / before) if before else math.nan,
        "laa_error": abs(value("laa950") - value("laa950", CEILING)),
    }
    return {
        column.name: derived[column.name] if column.name in derived else value(column.name)
        for column in COLUMNS
    }


def _mean(table: np.ndarray, axis: int) -> np.ndarray:
    known = np.isfinite(table)
    count = known.sum(axis)
    total = np.where(known, table, 0).sum(axis)
    return np.divide(total, count, out=np.full(count.shape, math.nan), where=count > 0)


def _named(names: Sequence[str], values: np.ndarray) -> Figures:
    return {
        name: value if math.isfinite(value) else None
        for name, value in zip(names, values.tolist(), strict=True)
    }


def in_markdown(rows: Sequence[Row]) -> str:
    """The table, readable on a console as well. Titles may come from users and are escaped."""
    cells = [["method", *(column.title for column in COLUMNS)]]
    cells += [[_escaped(row.title), *(_cell(row, column) for column in COLUMNS)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in (aligned[0], rule, *aligned[1:]))


def _cell(row: Row, column: Column) -> str:
    value, spread = row.mean[column.name], row.spread[column.name]
    if value is None:
        return "—"
    text = f"{value:.{column.digits}f}"
    return text if spread is None else f"{text} ± {spread:.{column.digits}f}"


def _escaped(title: str) -> str:
    return html.escape(title, quote=False).replace("|", "&#124;")


def in_sentences(rows: Sequence[Row]) -> list[str]:
    """For each method under judgement, what is better: among baselines, and with pairs."""
    baselines = [row for row in rows if row.kind == "baseline"]
    paired = [row for row in rows if row.kind == "paired"]
    sentences = []
    for row in rows:
        if row.kind != "judged":
            continue
        for others, words in (
            (baselines, "methods without pairs"),
            (paired, "methods with pairs"),
        ):
            behind = [
                f"{column.title} {_cell(row, column)} against {_cell(best, column)} "
                f"({_escaped(best.title)})"
                for column in COLUMNS
                for best in [_best(others, column)]
                if best and _is_better(best, row, column)
            ]
            all_known = None not in row.mean.values()
            which = "any figure" if all_known else "the figures that could be measured"
            said = f"behind in {'; '.join(behind)}" if behind else f"not behind in {which}"
            sentences.append(f"{_escaped(row.title)}, against {words}: {said}.")
    return sentences


def _best(rows: Sequence[Row], column: Column) -> Row | None:
    known = [row for row in rows if row.mean[column.name] is not None]
    pick = min if column.best == "low" else max
    return pick(known, key=lambda row: row.mean[column.name] or 0.0) if known else None


def _is_better(one: Row, other: Row, column: Column) -> bool:
    """As the figures are shown: what rounds to the same is equal."""
    values = [row.mean[column.name] for row in (one, other)]
    first, second = (None if v is None else round(v, column.digits) for v in values)
    if first is None or second is None:
        return first is not None
    return first < second if column.best == "low" else first > second
