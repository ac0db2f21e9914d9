"""Puts finished evaluations of several runs side by side, with tests paired by slice.

Runs are compared with the first, figure by figure and pair by pair, on slices that all have
translated. What is compared is how far a slice is from its goal: the figure itself where low is
good, its negative where high is, the distance to what the real paired slice scores (comparisons
with the source) or to the mean of the target domain (densities). Slices of one patient are not
independent: whole patients change sign in the test and are drawn in the interval.
"""

import csv
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.errors import InputError
from jaxharmo.evaluation.methods import AFTER, CEILING
from jaxharmo.evaluation.metrics import BY_NAME
from jaxharmo.evaluation.report.comparison import comparison_report
from jaxharmo.evaluation.results import replace_folder, write_csv
from jaxharmo.evaluation.statistics.features import false_discovery

_SAME = ("shards", "split", "window_hu", "radiomics", "tile", "extractors")
_SAMPLES = 2000
_EXACT = 12
"""Patients up to which all sign changes are tried."""

Place = tuple[str, str, str]
"""Source, target, slice."""


class Evaluation(NamedTuple):
    """One finished evaluation, read back."""

    name: str
    metrics: dict
    rows: dict[str, dict[Place, dict[str, str]]]
    """Rows of edges.csv by method."""


class Difference(NamedTuple):
    """Mean difference of two runs over slices; negative where the second is nearer to its goal."""

    mean: float
    low: float
    high: float
    """95 % interval over patients; NaN for one patient."""
    p: float
    """Two-sided; NaN for one patient."""
    patients: int
    slices: int


def compare_runs(runs: Sequence[Path], output: Path) -> str:
    """Compare the newest evaluation of each run; returns a short table.

    Writes comparison.html and comparison.csv into ``output``. Raises ``InputError`` for fewer than
    two runs, a run without an evaluation, and evaluations of unlike slices or settings.
    """
    if len(runs) < 2:
        raise InputError("--compare: name two runs or more")
    if output.exists() and not (output / "comparison.csv").is_file():
        raise InputError(f"{output}: is there and holds no comparison; name another --output")
    found = [read_evaluation(run) for run in runs]
    _check_alike(found)
    rows = list(itertools.chain(*(_compared(found[0], other) for other in found[1:])))
    q = false_discovery(np.array([row["p"] for row in rows]))
    rows = [row | {"q": float(value)} for row, value in zip(rows, q, strict=True)]

    def fill(folder: Path) -> None:
        write_csv(folder / "comparison.csv", iter(rows))
        page = comparison_report([(run.name, run.metrics) for run in found], rows)
        (folder / "comparison.html").write_text(page, encoding="utf-8")

    replace_folder(output, fill)
    return f"{_summary(found, rows)}\n{output / 'comparison.html'}"


def read_evaluation(run: Path) -> Evaluation:
    """The evaluation of the newest step of a run; ``InputError`` where there is none to be read."""
    folders = [path.parent for path in (run / "eval").glob("*/metrics.json")]
    numbered = [folder for folder in folders if folder.name.isdigit()]
    if not numbered:
        raise InputError(f"{run}: holds no evaluation; run jaxharmo eval --workdir {run} first")
    folder = max(numbered, key=lambda path: int(path.name))
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        with (folder / "edges.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        if metrics["format_version"] != 2:
            raise ValueError("of another format version")
        rows: dict[str, dict[Place, dict[str, str]]] = {}
        for row in table:
            place = (row["source"], row["target"], row["slice"])
            rows.setdefault(row["method"], {})[place] = row
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder}: not an evaluation ({error}); run jaxharmo eval again"
        ) from error
    return Evaluation(f"{run.name}, step {folder.name}", metrics, rows)


def paired_difference(
    values: Float[np.ndarray, "n"], patients: Sequence[str], seed: int = 0
) -> Difference:
    """Mean of differences, its interval, and a test against 0 in which whole patients change sign.

    Up to 12 patients all sign changes are tried; p cannot fall below 2 / 2^patients.
    """
    names, of_row = np.unique(np.asarray(patients), return_inverse=True)
    sums, counts = np.bincount(of_row, values), np.bincount(of_row)
    mean, n = float(values.mean()), len(names)
    if n < 2:
        return Difference(mean, math.nan, math.nan, math.nan, n, len(values))
    random = np.random.default_rng(seed)
    drawn = random.multinomial(n, np.full(n, 1 / n), _SAMPLES)
    low, high = np.quantile(drawn @ sums / (drawn @ counts), (0.025, 0.975))
    if n <= _EXACT:
        signs = np.array(list(itertools.product((-1, 1), repeat=n)))
        extra = 0
    else:
        signs, extra = random.choice((-1, 1), (_SAMPLES, n)), 1
    # Equal sums in another order differ by rounding.
    reached = np.abs(signs @ sums) >= abs(sums.sum()) * (1 - 1e-9)
    p = float((reached.sum() + extra) / (len(signs) + extra))
    return Difference(mean, float(low), float(high), p, n, len(values))


def _check_alike(found: Sequence[Evaluation]) -> None:
    for other, name in itertools.product(found[1:], _SAME):
        if other.metrics[name] != found[0].metrics[name]:
            raise InputError(
                f"--compare: {found[0].name} and {other.name} were evaluated on unlike {name}; run "
                "jaxharmo eval on both with the same data and settings"
            )


def _compared(first: Evaluation, other: Evaluation) -> list[dict]:
    figures = [name for name in BY_NAME if name in next(iter(first.rows[AFTER].values()))]
    rows = []
    for pair in first.metrics["pairs"]:
        ends = (pair["source"], pair["target"])
        places = [
            place
            for place in first.rows[AFTER]
            if place[:2] == ends and place in other.rows.get(AFTER, {})
        ]
        for figure in figures:
            goal = pair["target_values"].get(figure)
            sides = [
                [_error(run, place, figure, goal) for place in places] for run in (first, other)
            ]
            a, b = (np.array(side, float) for side in sides)
            known = np.isfinite(a) & np.isfinite(b)
            if not known.any():
                continue
            whose = [first.rows[AFTER][place]["patient"] for place in places]
            some = [name for name, kept in zip(whose, known.tolist(), strict=True) if kept]
            difference = paired_difference((b - a)[known], some)
            rows.append(
                {
                    "source": ends[0],
                    "target": ends[1],
                    "figure": figure,
                    "first": first.name,
                    "other": other.name,
                    "first_value": pair["scores"][figure].get(AFTER),
                    "other_value": _value(other.metrics, ends, figure),
                    **difference._asdict(),
                }
            )
    return rows


def _error(run: Evaluation, place: Place, figure: str, goal: float | None) -> float:
    """Distance of one slice from its goal; NaN where there is none."""
    value = _number(run.rows[AFTER][place][figure])
    aim = BY_NAME[figure].aim
    if aim in ("low", "high"):
        return value if aim == "low" else -value
    if aim == "ceiling":
        real = run.rows.get(CEILING, {}).get(place)
        return abs(value - _number(real[figure])) if real else math.nan
    return math.nan if goal is None else abs(value - goal)


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan


def _value(metrics: dict, ends: tuple[str, str], figure: str) -> float | None:
    for pair in metrics["pairs"]:
        if (pair["source"], pair["target"]) == ends:
            return pair["scores"].get(figure, {}).get(AFTER)
    return None


def _summary(found: Sequence[Evaluation], rows: Sequence[dict]) -> str:
    """For each other run: in how many pairs a figure is nearer to its goal."""
    lines = []
    for other in found[1:]:
        lines.append(f"{other.name} against {found[0].name}")
        for figure in ("rmse_hu", "radiomics_z", "edge_iou", "lung_dice"):
            some = [row for row in rows if row["other"] == other.name and row["figure"] == figure]
            if some:
                nearer = sum(row["mean"] < 0 for row in some)
                shown = sum(row["q"] < 0.05 for row in some)
                lines.append(
                    f"  {BY_NAME[figure].title}: nearer in {nearer} of {len(some)} pairs; "
                    f"{shown} differ (q < 0.05, by patient)"
                )
    return "\n".join(lines)
