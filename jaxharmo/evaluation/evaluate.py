"""Evaluate translations between domains: the source, the model, and the baselines.

``metrics.json``, format version 2, with null where a figure has no meaning::

    {"format_version": 2, "model": ..., "split": ..., "fitted_on": split of
     baselines and references, "window_hu": [low, high], "tile": pixels,
     "extractors": ["FD-Lite0", ...],
     "radiomics": {"engine": ..., "bin_width_hu": ..., "roi": "lung" | "body", "features": count},
     "settings": the section eval of the config, "shards": digest of the slices looked at,
     "methods": {method: title}, "models": [methods that are the model under a guidance],
     "domains": [{"name", "slices", "patients", "tiles", "rois", "floor": {figure: value}}],
     "pairs": [{"source", "target", "slices", "paired", "patients": {"source", "target", "shared"},
                "scores": SCORES, "intervals": {figure: {method: [low, high]}},
                "target": {figure: value of the real target domain}}],
     "mean": SCORES over the pairs, "seconds": {part: s; the report's writing is left out}}

SCORES are {figure: {method: value}}. Methods: ``before`` (the source as it is), ``after`` (the
model; further guidances and entries follow as ``after_2`` and so on), ``histogram``, ``spectral``,
``spectral_paired``, ``combat`` (radiomics only), ``ceiling`` (the paired real slice). Figures are
listed, with units and how to read them, in ``metrics.METRICS``; ``mmd_p`` and ``permanova_p`` are
permutation p values. Intervals are 95 %, by resampling patients. ``floor`` is what two halves of a
real domain score against each other.

``fid.csv`` (a row a pair, distance and method), ``radiomics.csv`` (a row a pair, method, unit and
feature), ``edges.csv`` (a row a pair, method and slice: all that is measured slice by slice),
``texture.csv`` (a row a pair, method and bin) and ``scores.csv`` (every figure) hold the details.

Methods get slices as they are; everything is clipped to ``config.eval.window``, or else to
``config.data.window``, before it is measured. Regions (body, lung) come from the source and
hold for all methods. Radiomics and the shift in the lung are measured 3 pixels off its border;
where some domain shows a lung on fewer than two slices, radiomics are measured in the body instead,
for all domains.
"""

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from jaxharmo.config import Config
from jaxharmo.console import Progress, message
from jaxharmo.data.prepare.workers import Job, Workers
from jaxharmo.errors import InputError
from jaxharmo.evaluation.cache import keep_features, kept_features
from jaxharmo.evaluation.chunks import Real, arrays_of, joined_real, write_arrays
from jaxharmo.evaluation.clock import Clock, time_line
from jaxharmo.evaluation.directions import (
    DirectionTask,
    compare_direction,
    compare_elsewhere,
    real_path,
)
from jaxharmo.evaluation.methods import AFTER, CEILING, COMBAT, TITLES, Baselines
from jaxharmo.evaluation.pair_result import PairResult
from jaxharmo.evaluation.pairs import RealSlices
from jaxharmo.evaluation.report import shown_slices
from jaxharmo.evaluation.results import mean_scores, write_results
from jaxharmo.evaluation.samples import chunks, tile_count
from jaxharmo.evaluation.scores import floor
from jaxharmo.evaluation.slices import (
    check_tile,
    choose_targets,
    open_domains,
    open_training,
    twins,
)
from jaxharmo.evaluation.tasks import (
    Evaluator,
    Guide,
    Setup,
    Task,
    measure_elsewhere,
    read_result,
    window_of,
)
from jaxharmo.evaluation.work import close_work, held_evaluation, open_work
from jaxharmo.evaluation.workers import alive, open_workers

FORMAT_VERSION = 2


def evaluate(
    guide: Guide,
    shards: Path,
    config: Config,
    output: Path,
    *,
    model: str,
    job: Job | None = None,
    report: Callable[[str], None] = message,
) -> dict | None:
    """Evaluate every ordered pair of domains, write ``output`` and return what is in metrics.json.

    ``output`` receives metrics.json, the tables and report.html; it appears, or is replaced, only
    when all is written. Without a ``job`` this process does all; with several workers or a
    scheduler ``guide`` has to be picklable. Returns None after one part of several. A killed call
    is resumed by the next one. Raises ``InputError`` for shards or splits without the domains or
    slices that are needed, for parts that are missing or of another evaluation, and for a
    translation that is not finite.
    """
    job = job or Job(workers=1)
    # Slices and methods are shared out to a thread a core; BLAS threads beside them only wait for
    # one another, small matrices most of all.
    with (
        threadpool_limits(1, user_api="blas"),
        held_evaluation(output.absolute(), job) as folder,
    ):
        return _Evaluation(guide, shards, config, model, report).run(output, folder, job)


class _Evaluation:
    def __init__(
        self,
        guide: Guide,
        shards: Path,
        config: Config,
        model: str,
        report: Callable[[str], None],
    ):
        self._shards, self._config, self._report = shards, config, report
        self._clock = Clock()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._domains = open_domains(shards, config, report)
        wanted = choose_targets(config.eval.targets, self._domains)
        with self._clock("reading"):
            sized = [domain.shapes for domain in self._domains]
        assert all(sized), "a domain has at least one slice"
        for domain in self._domains:
            check_tile(config.eval.tile, (domain.shapes[number] for number in domain.chosen))
        real = RealSlices(window_of(config), self._clock)
        roi = "lung" if all(map(real.shows_lung, self._domains)) else "body"
        count = range(len(self._domains))
        self._directions = [
            (source, target)
            for source in count
            for target in count
            if source != target and self._domains[target].name in wanted
        ]
        self._twins = {
            (source, target): twins(
                self._domains[source], self._domains[target], self._domains[source].chosen
            )
            for source, target in self._directions
        }
        training = open_training(shards, self._domains)
        fits = tuple(self._fits(Baselines(training, config.eval)))
        self._setup = Setup(guide, shards.absolute(), config, model, roi, fits)
        self._evaluator = Evaluator(self._setup, self._domains, training)
        described = self._evaluator.sampler.description
        self._kept = [kept_features(shards, domain, described) for domain in self._domains]

    def _fits(
        self, baselines: Baselines
    ) -> Iterator[tuple[tuple[int, int], tuple[tuple[int, int], ...]]]:
        """Pairs of training slices of each direction that has paired slices to evaluate."""
        for direction in self._directions:
            of, to = (self._domains[number].name for number in direction)
            known = any(twin is not None for twin in self._twins[direction])
            yield direction, baselines.pairs(of, to) if known else ()

    def run(self, output: Path, folder: Path, job: Job) -> dict | None:
        open_work(folder, self._provenance(), job)
        number, count = job.share
        tasks = self._tasks()
        with open_workers(job) as workers:
            if not job.merge:
                share = [task for task in tasks if task.number % count == number - 1]
                self._measure(workers, share, folder, job)
            if count > 1:
                self._report(f"{output}: part {number} of {count} is done; finish with --merge")
                return None
            return self._finish(workers, tasks, output, folder, job)

    def _tasks(self) -> list[Task]:
        """All tasks in the order of domains and slices; what was kept from before has none."""
        tasks, number = [], 0
        for source, domain in enumerate(self._domains):
            targets = [target for of, target in self._directions if of == source]
            places = {slice_: place for place, slice_ in enumerate(domain.chosen)}
            for numbers in chunks(domain.chosen, domain.grids):
                known = {
                    target: tuple(self._twins[source, target][places[each]] for each in numbers)
                    for target in targets
                }
                features = self._kept[source] is None
                if features or targets:
                    tasks.append(Task(number, source, tuple(numbers), features, known))
                # Counted even if there is nothing to do: parts may see other kept features.
                number += 1
        for domain, kept in zip(self._domains, self._kept, strict=True):
            if kept:
                self._report(f"features of {domain.name} found in {self._shards.name}/features")
        return tasks

    def _measure(self, workers: Workers, tasks: Sequence[Task], folder: Path, job: Job) -> None:
        """Do the tasks that are not done."""
        total = sum(len(task.slices) for task in tasks)
        with Progress("measuring", total, "slice", self._report) as progress:

            def left() -> Iterator[Task]:
                for task in tasks:
                    if read_result(folder, task):
                        progress.skip(len(task.slices))
                    else:
                        yield task

            here = partial(self._evaluator.measure, folder=folder)
            options = {"setup": self._setup, "folder": folder, "threads": job.threads}
            there = partial(measure_elsewhere, **options)
            for task, _ in alive(workers.run(there if job.elsewhere else here, left())):
                progress.advance(len(task.slices))

    def _finish(
        self,
        workers: Workers,
        tasks: Sequence[Task],
        output: Path,
        folder: Path,
        job: Job,
    ) -> dict:
        reals = self._reals(tasks, folder)
        for number, real in enumerate(reals):
            write_arrays(real_path(folder, number), arrays_of(real))
        here = partial(compare_direction, self._evaluator, folder=folder)
        there = partial(compare_elsewhere, setup=self._setup, folder=folder, threads=job.threads)
        work = [self._direction(tasks, *each) for each in self._directions]
        found: dict[tuple[int, int], PairResult] = {}
        # One direction alone has all cores here, and one of them elsewhere.
        elsewhere = job.elsewhere and (len(work) > 1 or job.scheduler is not None)
        results = workers.run(there, work) if elsewhere else ((each, here(each)) for each in work)
        with Progress("comparing", len(work), "direction", self._report) as progress:
            for task, (pair, seconds) in alive(results):
                found[task.source, task.target] = pair
                self._add(seconds)
                progress.advance()
        pairs = [found[each] for each in self._directions]
        with self._clock("statistics"):
            floors = [floor(real.sample, self._config.eval) for real in reals]
        self._add(self._clock.take())
        metrics = self._metrics(reals, floors, pairs)
        with self._clock("report"):
            written = write_results(output, metrics, pairs)
        self._add(self._clock.take())
        self._report(time_line(self._seconds))
        close_work(folder)
        return written

    def _add(self, seconds: Mapping[str, float]) -> None:
        for part, took in seconds.items():
            self._seconds[part] += took

    def _reals(self, tasks: Sequence[Task], folder: Path) -> list[Real]:
        """What is measured of the real slices of each domain; all tasks have to be done."""
        parts: dict[int, list[Real]] = {}
        missing = 0
        for task in tasks:
            chunk = read_result(folder, task)
            if chunk is None:
                missing += 1
                continue
            self._add(chunk.seconds)
            if chunk.real:
                parts.setdefault(task.source, []).append(chunk.real)
        if missing:
            raise InputError(
                f"{folder}: {missing} of {len(tasks)} chunks are not measured; run the missing "
                "parts"
            )
        reals = []
        described = self._evaluator.sampler.description
        for number, (domain, kept) in enumerate(zip(self._domains, self._kept, strict=True)):
            if kept is None:
                kept = joined_real(parts[number])
                keep_features(self._shards, domain, described, kept)
            reals.append(kept)
        return reals

    def _direction(self, tasks: Sequence[Task], source: int, target: int) -> DirectionTask:
        domain = self._domains[source]
        return DirectionTask(
            source,
            target,
            tuple(task.number for task in tasks if task.source == source),
            tuple(domain.chosen),
            self._twins[source, target],
            tuple(shown_slices(domain, len(self._directions))),
        )

    def _provenance(self) -> dict[str, Any]:
        """What parts have to agree in, as JSON gives it back."""
        described = {
            "model": self._setup.model,
            "shard set": self._digest,
            "split": self._config.eval.split,
            "settings": dataclasses.asdict(self._config.eval),
            "measures": self._evaluator.sampler.description,
        }
        return json.loads(json.dumps(described))

    @property
    def _digest(self) -> str:
        digests = [domain.digest for domain in self._domains]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _metrics(
        self,
        reals: Sequence[Real],
        floors: Sequence[dict[str, float]],
        pairs: list[PairResult],
    ) -> dict:
        settings, evaluator = self._config.eval, self._evaluator
        titles = {name: title for pair in pairs for name, title in pair.titles.items()}
        if any(COMBAT in pair.scores for pair in pairs):
            titles[COMBAT] = TITLES[COMBAT]
        titles[CEILING] = titles.pop(CEILING, TITLES[CEILING])
        summaries = [pair.summary | pair.figures for pair in pairs]
        return {
            "format_version": FORMAT_VERSION,
            "model": self._setup.model,
            "split": settings.split,
            "fitted_on": evaluator.baselines.fitted_on,
            "window_hu": list(window_of(self._config)),
            "tile": settings.tile,
            "extractors": [extractor.title for extractor in evaluator.extractors],
            "radiomics": {
                "engine": evaluator.sampler.engine,
                "bin_width_hu": settings.bin_width,
                "roi": evaluator.sampler.roi,
                "features": max(len(real.sample.names) for real in reals),
            },
            "settings": dataclasses.asdict(settings),
            "shards": self._digest,
            "methods": titles,
            "models": [name for name in titles if name.startswith(AFTER)],
            "domains": [
                {
                    "name": domain.name,
                    "slices": len(domain.chosen),
                    "patients": len(set(real.sample.patients.tolist())),
                    "tiles": tile_count(real.sample),
                    "rois": int(real.sample.shown.sum()),
                    "floor": chance,
                }
                for domain, real, chance in zip(self._domains, reals, floors, strict=True)
            ],
            "pairs": summaries,
            "mean": mean_scores([pair["scores"] for pair in summaries]),
            "seconds": {part: round(took, 2) for part, took in self._seconds.items()},
        }
