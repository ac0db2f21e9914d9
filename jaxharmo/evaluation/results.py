"""The files of a finished evaluation."""

import csv
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxharmo.evaluation.metrics import BY_NAME
from jaxharmo.evaluation.pair_result import PairResult
from jaxharmo.evaluation.report import html_report
from jaxharmo.evaluation.scores import Features
from jaxharmo.files import defused


def mean_scores(pairs: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean of every figure and method over the pairs that have it."""
    values: dict[str, dict[str, list[float]]] = {}
    for scores in pairs:
        for figure, methods in scores.items():
            for method, value in methods.items():
                if math.isfinite(value):
                    values.setdefault(figure, {}).setdefault(method, []).append(value)
    return {
        figure: {method: float(np.mean(some)) for method, some in methods.items()}
        for figure, methods in values.items()
    }


def write_results(output: Path, metrics: dict, pairs: list[PairResult]) -> dict:
    """Write all files, then give the folder its name; returns ``metrics`` as JSON holds them."""
    metrics = jsonable(metrics)
    tables = {
        "fid": _fid_rows(metrics, pairs),
        "radiomics": _radiomic_rows(pairs),
        "edges": _slice_rows(pairs),
        "texture": _texture_rows(pairs),
        "scores": _score_rows(metrics),
    }

    def fill(folder: Path) -> None:
        text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        for name, rows in tables.items():
            write_csv(folder / f"{name}.csv", rows)
        (folder / "report.html").write_text(html_report(metrics, pairs), encoding="utf-8")

    replace_folder(output, fill)
    return metrics


def replace_folder(output: Path, fill: Any) -> None:
    """Make a folder of what ``fill(folder)`` writes; it gets its name when all is written."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        partial.chmod(0o755)
        fill(partial)
        if output.exists():
            shutil.rmtree(output)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def jsonable(value: Any) -> Any:
    """NaN and infinity become None, at any depth."""
    if isinstance(value, dict):
        return {name: jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_csv(path: Path, rows: Iterator[dict]) -> None:
    """A missing figure is an empty cell; all rows have the columns of the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow({name: defused(jsonable(cell)) for name, cell in row.items()})


def _of(pair: dict) -> dict:
    return {name: pair[name] for name in ("source", "target")}


def _fid_rows(metrics: dict, pairs: list[PairResult]) -> Iterator[dict]:
    tiles = {domain["name"]: domain["tiles"] for domain in metrics["domains"]}
    deep = [name for name, figure in BY_NAME.items() if figure.group == "deep"]
    for summary, pair in zip(metrics["pairs"], pairs, strict=True):
        for figure in deep:
            for method, value in summary["scores"].get(figure, {}).items():
                low, high = summary["intervals"].get(figure, {}).get(method, (None, None))
                yield _of(summary) | {
                    "distance": figure,
                    "method": method,
                    "value": value,
                    "low": low,
                    "high": high,
                    "tiles": pair.tiles[method],
                    "tiles_target": tiles[summary["target"]],
                }


def _score_rows(metrics: dict) -> Iterator[dict]:
    for pair in metrics["pairs"]:
        for figure, methods in pair["scores"].items():
            for method, value in methods.items():
                low, high = pair["intervals"].get(figure, {}).get(method, (None, None))
                place = {"figure": figure, "method": method}
                yield _of(pair) | place | {"value": value, "low": low, "high": high}


def _slice_rows(pairs: list[PairResult]) -> Iterator[dict]:
    for pair in pairs:
        for method, rows in pair.rows.items():
            for row in rows:
                yield _of(pair.summary) | {"method": method} | row


def _radiomic_rows(pairs: list[PairResult]) -> Iterator[dict]:
    for pair in pairs:
        for method, scores in pair.scores.items():
            if scores.features is not None:
                for row in feature_rows(scores.features, pair.names, pair.target_features):
                    yield _of(pair.summary) | {"method": method} | row


def feature_rows(
    features: Features, names: tuple[str, ...], target: Float[np.ndarray, "f"]
) -> Iterator[dict]:
    """A row a unit (slice, patient) and feature."""
    for unit, found in (("slice", features.slices), ("patient", features.patients)):
        columns = {name: values.tolist() for name, values in found._asdict().items()}
        for index, feature in enumerate(names):
            yield (
                {
                    "unit": unit,
                    "feature": feature,
                    "mean": float(features.mean[index]),
                    "target_mean": float(target[index]),
                }
                | {name: values[index] for name, values in columns.items()}
                | {"ccc": float(features.ccc[index])}
            )


def _texture_rows(pairs: list[PairResult]) -> Iterator[dict]:
    for pair in pairs:
        for method, profiles in {**pair.profiles, "target": pair.target_profiles}.items():
            for profile, values in profiles.items():
                for index, value in enumerate(values.tolist()):
                    yield _of(pair.summary) | {
                        "method": method,
                        "profile": profile,
                        "bin": index,
                        "value": value,
                    }
