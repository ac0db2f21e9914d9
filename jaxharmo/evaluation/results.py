"""The files of a finished evaluation."""

import csv
import dataclasses
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxharmo.evaluation.report import Example, html_report


@dataclasses.dataclass(frozen=True)
class PairResult:
    """What was found for one ordered pair of domains."""

    summary: dict
    """An entry of ``pairs`` in metrics.json."""
    slices: list[dict]
    """A row of edges.csv each."""
    features: list[dict]
    """A row of radiomics.csv each."""
    example: Example
    """Pictures for the report."""


def mean_scores(scores: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean of every figure over the pairs that have it; NaN where none has."""

    def mean(name: str, side: str) -> float:
        values = [score[name][side] for score in scores if math.isfinite(score[name][side])]
        return float(np.mean(values)) if values else math.nan

    return {name: {side: mean(name, side) for side in sides} for name, sides in scores[0].items()}


def write_results(output: Path, metrics: dict, pairs: list[PairResult]) -> dict:
    """Write all files, then give the folder its name; returns ``metrics`` as JSON holds them."""
    metrics = _jsonable(metrics)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        partial.chmod(0o755)
        text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
        (partial / "metrics.json").write_text(text + "\n", encoding="utf-8")
        _write_csv(partial / "fid.csv", _fid_rows(metrics))
        _write_csv(partial / "radiomics.csv", [_of(p) | row for p in pairs for row in p.features])
        _write_csv(partial / "edges.csv", [_of(p) | row for p in pairs for row in p.slices])
        page = html_report(metrics, [(p.example, p.features) for p in pairs])
        (partial / "report.html").write_text(page, encoding="utf-8")
        if output.exists():
            shutil.rmtree(output)
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return metrics


def _jsonable(value: Any) -> Any:
    """NaN and infinity become None, at any depth."""
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _of(pair: PairResult) -> dict:
    return {name: pair.summary[name] for name in ("source", "target")}


def _fid_rows(metrics: dict) -> list[dict]:
    tiles = {domain["name"]: domain["tiles"] for domain in metrics["domains"]}
    return [
        {
            "source": pair["source"],
            "target": pair["target"],
            "features": name,
            "tiles_source": tiles[pair["source"]],
            "tiles_target": tiles[pair["target"]],
        }
        | scores
        for pair in metrics["pairs"]
        for name, scores in pair["scores"].items()
        if name.startswith("fd_lite0_")
    ]


def _write_csv(path: Path, rows: list[dict]) -> None:
    """A missing figure is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(_jsonable(rows))
