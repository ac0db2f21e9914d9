"""From the chunks of one ordered pair of domains to its figures and pictures."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from jaxharmo.evaluation.chunks import Chunk, Real, read_arrays, read_chunk, real_of
from jaxharmo.evaluation.comparisons import Row
from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING, COMBAT, TITLES
from jaxharmo.evaluation.pair_result import PairResult
from jaxharmo.evaluation.pairs import Direction
from jaxharmo.evaluation.samples import Sample, joined, tile_count
from jaxharmo.evaluation.scores import (
    Scores,
    Trial,
    combat,
    feature_means,
    mean_profiles,
    score,
)
from jaxharmo.evaluation.tasks import Evaluator, Setup, chunk_path, opened


class DirectionTask(NamedTuple):
    """An ordered pair of domains all slices of which are measured."""

    source: int
    target: int
    """Numbers of the domains."""
    chunks: tuple[int, ...]
    """Numbers of the tasks that measured the source's slices, in order."""
    slices: tuple[int, ...]
    """Of the source."""
    twins: tuple[int | None, ...]
    """Of the slices, in the target."""
    shown: tuple[int, ...]
    """Those that the viewer shows."""


def real_path(folder: Path, domain: int) -> Path:
    """Of the features of all real slices of a domain."""
    return folder / f"real-{domain:03d}.npz"


def compare_elsewhere(
    task: DirectionTask, setup: Setup, folder: Path, threads: int
) -> tuple[PairResult, dict[str, float]]:
    """``compare_direction`` in a process of its own."""
    with threadpool_limits(1, user_api="blas"):
        return compare_direction(opened(setup, threads), task, folder)


def compare_direction(
    evaluator: Evaluator, task: DirectionTask, folder: Path
) -> tuple[PairResult, dict[str, float]]:
    """What was found for a pair of domains, and the seconds that took, by part."""
    source, target = (evaluator.domains[number] for number in (task.source, task.target))
    with evaluator.clock("reading"):
        before, wanted = (_real(folder, number) for number in (task.source, task.target))
        chunks = [read_chunk(chunk_path(folder, number), task.target) for number in task.chunks]
    held = [chunk for chunk in chunks if chunk]
    if len(held) < len(chunks):
        raise OSError(f"{folder}: files vanished while they were needed")
    titles = {method.name: method.title for method in evaluator.methods(task.source, task.target)}
    with evaluator.clock("statistics"):
        trials = _trials(task, held, titles, before.sample, wanted.sample)
        trials = {name: _with_distance(trial, wanted.sample) for name, trial in trials.items()}
        scores = _scores(evaluator, trials, wanted.sample)
    lung = np.concatenate([chunk.lung for chunk in held])
    # The slice with most lung shows most texture.
    most = task.slices[int(np.argmax(lung))]
    example = evaluator.stream.example(source, most, _toward(evaluator, task, [most]))
    shown = evaluator.stream.shown(source, task.shown, _toward(evaluator, task, task.shown))
    whose = [set(each.sample.patients.tolist()) for each in (before, wanted)]
    summary = {
        "source": source.name,
        "target": target.name,
        "slices": len(trials[BEFORE].rows),
        "paired": len(trials[CEILING].rows) if CEILING in trials else 0,
        "patients": {
            "source": len(whose[0]),
            "target": len(whose[1]),
            "shared": len(whose[0] & whose[1]),
        },
        "target_values": {
            name: _mean(column)
            for name, column in zip(("laa950", "perc15"), wanted.density.T, strict=True)
        },
    }
    # Features of tiles are many: only what the files show of them is kept.
    result = PairResult(
        summary,
        {name: trial.title for name, trial in trials.items()},
        {name: trial.rows for name, trial in trials.items()},
        scores,
        {name: mean_profiles(trial.sample) for name, trial in trials.items()},
        mean_profiles(wanted.sample),
        {name: tile_count(trial.sample) for name, trial in trials.items()},
        wanted.sample.names,
        feature_means(wanted.sample),
        example,
        shown,
    )
    return result, evaluator.clock.take()


def _real(folder: Path, number: int) -> Real:
    arrays = read_arrays(real_path(folder, number))
    if arrays is None:
        raise OSError(f"{folder}: files vanished while they were needed")
    return real_of(arrays)


def _toward(evaluator: Evaluator, task: DirectionTask, slices: Sequence[int]) -> Direction:
    """The direction, for some of the slices."""
    twins = dict(zip(task.slices, task.twins, strict=True))
    methods = evaluator.methods(task.source, task.target)
    target = evaluator.domains[task.target]
    return Direction(task.target, target, methods, [twins[number] for number in slices])


def _trials(
    task: DirectionTask,
    chunks: Sequence[Chunk],
    titles: dict[str, str],
    before: Sample,
    wanted: Sample,
) -> dict[str, Trial]:
    """By method, ``before`` first and ``ceiling``, where slices are paired, last."""
    made = [chunk.made[task.target] for chunk in chunks]

    def rows(name: str) -> list[Row]:
        return [row for each in made if name in each for row in each[name].rows]

    trials = {BEFORE: Trial(TITLES[BEFORE], rows(BEFORE), before)}
    for name, title in titles.items():
        samples = [sample for each in made if (sample := each[name].sample)]
        trials[name] = Trial(title, rows(name), joined(samples))
    return trials | _ceiling(task, rows(CEILING), wanted)


def _ceiling(task: DirectionTask, rows: list[Row], wanted: Sample) -> dict[str, Trial]:
    if not rows:
        return {}
    twins = dict(zip(task.slices, task.twins, strict=True))
    place = {number: row for row, number in enumerate(wanted.numbers.tolist())}
    of_row = [(int(row["slice"]), twins[int(row["slice"])]) for row in rows]
    measured = [(number, place[twin]) for number, twin in of_row if twin in place]
    sample = wanted.rows([row for _, row in measured])
    # As other methods' samples are: by the number of the source slice.
    numbers = np.array([number for number, _ in measured], int)
    return {CEILING: Trial(TITLES[CEILING], rows, dataclasses.replace(sample, numbers=numbers))}


def _scores(evaluator: Evaluator, trials: dict[str, Trial], wanted: Sample) -> dict[str, Scores]:
    settings, truth = evaluator.setup.config.eval, trials.get(CEILING)
    scores = {
        name: score(
            trial,
            wanted,
            truth,
            settings,
            intervals_of_sets=name == BEFORE or name.startswith(AFTER),
        )
        for name, trial in trials.items()
    }
    if COMBAT in settings.baselines:
        moved = combat(trials[BEFORE], wanted, truth, settings)
        scores |= {COMBAT: moved} if moved else {}
    return scores


def _with_distance(trial: Trial, wanted: Sample) -> Trial:
    """Adds to each row how far the slice's radiomics are from the target domain."""
    sample = trial.sample
    far = np.full(len(sample.numbers), np.nan)
    if sample.shown.any() and wanted.shown.sum() > 1:
        target = wanted.radiomics[wanted.shown]
        spread = target.std(0, ddof=1)
        varied = spread > 0
        z = np.abs(sample.radiomics[sample.shown] - target.mean(0))[:, varied] / spread[varied]
        far[sample.shown] = np.median(z, axis=1) if varied.any() else np.nan
    by_number = dict(zip(sample.numbers.tolist(), far.tolist(), strict=True))
    rows: list[Row] = [
        row | {"radiomics_z": by_number.get(int(row["slice"]), float("nan"))} for row in trial.rows
    ]
    return trial._replace(rows=rows)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.mean(known)) if known.size else math.nan
