"""Tables of the ablation, in Markdown: means over seeds, and comparisons paired by seed.

python docs/ablation/tables.py RESULTS.csv
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

Row = Mapping[str, str]
Measure = Callable[[Row], float]

MEASURES: Mapping[str, tuple[str, Measure, str]] = {
    "RMSE reduced, %": (
        "pairs",
        lambda r: 100 * (1 - float(r["rmse"]) / float(r["rmse_before"])),
        ".1f",
    ),
    "RMSE, HU": ("phantom", lambda r: float(r["rmse"]), ".2f"),
    "power gap, dB": ("phantom", lambda r: float(r["power_gap"]), ".2f"),
}
"""By title: the data, the figure of a row, and its format. Means over directions."""
SPLITS = ("validation", "test")
BASE = {
    "texture": "changes",
    "aggregation": "noise",
    "adversary": "0.0",
    "residual": "8",
    "spectrum": "0.0",
}
FACTORIAL = {"aggregation": "noise", "spectrum": "0.0"}


class Comparison(NamedTuple):
    """One level of a factor against another, everything else alike."""

    title: str
    factor: str
    level: str
    against: str
    fixed: Mapping[str, str]


COMPARISONS = (
    Comparison("texture loss on changes, instead of none", "texture", "changes", "off", FACTORIAL),
    Comparison(
        "texture loss on changes, instead of cycle", "texture", "changes", "cycle", FACTORIAL
    ),
    Comparison("texture loss on cycle, instead of none", "texture", "cycle", "off", FACTORIAL),
    *(
        Comparison(
            f"adversary, texture loss {texture}",
            "adversary",
            "0.1",
            "0.0",
            FACTORIAL | {"texture": texture},
        )
        for texture in ("changes", "cycle", "off")
    ),
    Comparison(
        "residual network, texture loss changes",
        "residual",
        "8",
        "0",
        FACTORIAL | {"texture": "changes"},
    ),
    *(
        Comparison(f"aggregation by {name}, instead of noise", "aggregation", name, "noise", BASE)
        for name in ("mean", "max", "separation", "attention")
    ),
    Comparison(
        "aggregation by max, instead of noise, beside spectrum",
        "aggregation",
        "max",
        "noise",
        BASE | {"spectrum": "1.0"},
    ),
    Comparison("spectrum loss beside texture", "spectrum", "1.0", "0.0", BASE),
    Comparison(
        "texture loss beside spectrum", "texture", "changes", "off", BASE | {"spectrum": "1.0"}
    ),
)


def figures(rows: Iterable[Row], measure: Measure, fields: Sequence[str]) -> dict[tuple, float]:
    """The mean over directions of every run, by its fields."""
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[field] for field in fields)].append(measure(row))
    return {key: float(np.mean(values)) for key, values in found.items()}


def _where(rows: Sequence[Row], chosen: Mapping[str, str]) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in chosen.items())]


def table_of_means(rows: Sequence[Row], split: str) -> list[list[str]]:
    """A row a variant: mean ± standard deviation over seeds."""
    table = [[*BASE, *(f"{data}: {title}" for title, (data, *_) in MEASURES.items())]]
    for levels in dict.fromkeys(tuple(row[name] for name in BASE) for row in rows):
        variant = dict(zip(BASE, levels, strict=True))
        cells = []
        for data, measure, form in MEASURES.values():
            found = _where(rows, variant | {"data": data, "split": split})
            values = list(figures(found, measure, ["seed"]).values())
            cells.append(f"{np.mean(values):{form}} ± {_spread(values):{form}}" if values else "–")
        table.append([*levels, *cells])
    return table


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def table_of_comparisons(rows: Sequence[Row], split: str) -> list[list[str]]:
    """A row a comparison: mean difference with its 95 % interval, and p after Holm."""
    table = [["change", *(f"{data}: {title}" for title, (data, *_) in MEASURES.items())]]
    differences = {
        (each.title, title): _difference(rows, each, measure, {"data": data, "split": split})
        for each in COMPARISONS
        for title, (data, measure, _) in MEASURES.items()
    }
    tests = {key: stats.ttest_1samp(d, 0) for key, d in differences.items() if len(d) > 1}
    p = dict(zip(tests, _holm([test.pvalue for test in tests.values()]), strict=True))
    for each in COMPARISONS:
        cells = []
        for title, (_, _, form) in MEASURES.items():
            key = (each.title, title)
            if key not in tests:
                cells.append("–")
                continue
            low, high = tests[key].confidence_interval(0.95)
            mean, half = (high + low) / 2, (high - low) / 2
            cells.append(f"{mean:+{form}} ± {half:{form}} ({_p(p[key])})")
        table.append([each.title, *cells])
    return table


def _difference(
    rows: Sequence[Row], each: Comparison, measure: Measure, where: Mapping[str, str]
) -> np.ndarray:
    """By seed, the mean over all variants that both levels were trained in."""
    fixed = {name: value for name, value in each.fixed.items() if name != each.factor} | where
    others = [name for name in BASE if name != each.factor]
    ours, theirs = (
        figures(_where(rows, fixed | {each.factor: level}), measure, ["seed", *others])
        for level in (each.level, each.against)
    )
    by_seed = defaultdict(list)
    for seed, *rest in sorted(ours.keys() & theirs.keys()):
        by_seed[seed].append(ours[seed, *rest] - theirs[seed, *rest])
    complete = max(map(len, by_seed.values()), default=0)
    return np.array([np.mean(found) for found in by_seed.values() if len(found) == complete])


def _holm(p: Sequence[float]) -> list[float]:
    """Holm's correction for many tests (Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p)
    stepped = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected.tolist()


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _markdown(table: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def main() -> None:
    """Print all tables of the file that is named."""
    with Path(sys.argv[1]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for split in SPLITS:
        for table in (table_of_means(rows, split), table_of_comparisons(rows, split)):
            print(f"{split}\n\n{_markdown(table)}\n")


if __name__ == "__main__":
    main()
