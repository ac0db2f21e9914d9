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
model; further guidances follow as ``after_2`` and so on), ``histogram``, ``spectral``,
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
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from jaxharmo.config import Config
from jaxharmo.console import Progress, message
from jaxharmo.errors import InputError
from jaxharmo.evaluation.cache import kept_sample
from jaxharmo.evaluation.clock import Clock
from jaxharmo.evaluation.comparisons import Row
from jaxharmo.evaluation.extractors import open_extractors
from jaxharmo.evaluation.methods import (
    AFTER,
    BEFORE,
    CEILING,
    COMBAT,
    TITLES,
    Baselines,
    Guidance,
    Method,
    Spacing,
    Stack,
)
from jaxharmo.evaluation.pair_result import PairResult
from jaxharmo.evaluation.pairs import RealSlices, Stream, Trial, target_density
from jaxharmo.evaluation.report import shown_slices
from jaxharmo.evaluation.results import mean_scores, write_results
from jaxharmo.evaluation.samples import Sample, Sampler, tile_count
from jaxharmo.evaluation.scores import (
    Scores,
    combat,
    feature_means,
    floor,
    mean_profiles,
    score,
)
from jaxharmo.evaluation.slices import DomainSlices, open_domains, open_training

FORMAT_VERSION = 2

Guide = Callable[[list[DomainSlices]], Sequence[Guidance]]
"""The slices that may be references, by domain -> the model under each guidance."""


def evaluate(
    guide: Guide,
    shards: Path,
    config: Config,
    output: Path,
    *,
    model: str,
    report: Callable[[str], None] = message,
) -> dict:
    """Evaluate every ordered pair of domains, write ``output`` and return what is in metrics.json.

    ``output`` receives metrics.json, the tables and report.html; it appears, or is replaced, only
    when all is written. Raises ``InputError`` for shards or splits without the domains or slices
    that are needed, and for a translation that is not finite.
    """
    # Slices and methods are shared out to a thread a core; BLAS threads beside them only wait for
    # one another, small matrices most of all.
    with threadpool_limits(1, user_api="blas"):
        return _Evaluation(guide, shards, config, model, report).run(output)


class _Evaluation:
    def __init__(
        self,
        guide: Guide,
        shards: Path,
        config: Config,
        model: str,
        report: Callable[[str], None],
    ):
        self._shards, self._config, self._settings = shards, config, config.eval
        self._model, self._report = model, report
        self._clock = Clock()
        self._window = window = config.eval.window or config.data.window
        self._domains = open_domains(shards, config, report)
        self._targets = _targets(self._settings.targets, self._domains)
        training = open_training(shards, self._domains)
        self._guidances = guide(training)
        self._baselines = Baselines(training, self._settings)
        self._extractors = open_extractors(self._settings)
        self._sampler = Sampler(self._settings, window, self._extractors, self._clock)
        self._real = RealSlices(window, self._clock)
        self._stream = Stream(self._real, self._sampler, window, self._clock, model)

    def run(self, output: Path) -> dict:
        with self._clock("reading"):
            sized = [domain.shapes for domain in self._domains]
        assert all(sized), "a domain has at least one slice"
        if not all(map(self._real.shows_lung, self._domains)):
            self._sampler.roi = "body"
        total = sum(len(domain.chosen) for domain in self._domains)
        with Progress("measuring", total, "slice", self._report) as progress:
            samples = {domain.name: self._sample(domain, progress) for domain in self._domains}
        densities = {domain.name: target_density(self._real, domain) for domain in self._domains}
        directions = [
            (source, target)
            for source in self._domains
            for target in self._domains
            if source is not target and target.name in self._targets
        ]
        total = sum(len(source.chosen) for source, _ in directions)
        with Progress("translating", total, "slice", self._report) as progress:
            pairs = [
                self._pair(
                    source,
                    target,
                    samples,
                    densities[target.name],
                    shown_slices(source, len(directions)),
                    progress,
                )
                for source, target in directions
            ]
        with self._clock("statistics"):
            floors = {name: floor(sample, self._settings) for name, sample in samples.items()}
        metrics = self._metrics(samples, floors, pairs)
        with self._clock("report"):
            written = write_results(output, metrics, pairs)
        self._report(self._clock.line())
        return written

    def _sample(self, domain: DomainSlices, progress: Progress) -> Sample:
        sample, found = kept_sample(
            self._shards,
            domain,
            self._sampler.description,
            lambda: self._real.sample(domain, self._sampler, progress.advance),
        )
        if found:
            progress.skip(len(domain.chosen))
            self._report(f"features of {domain.name} found in {self._shards.name}/features")
        return sample

    def _pair(
        self,
        source: DomainSlices,
        target: DomainSlices,
        samples: dict[str, Sample],
        density: dict[str, float],
        numbers: list[int],
        progress: Progress,
    ) -> PairResult:
        before, wanted = samples[source.name], samples[target.name]
        paired = any(target.twin(source, number) is not None for number in source.chosen)
        with self._clock("baselines"):
            fitted = self._baselines.methods(source.name, target.name, paired=paired)
        methods = [*self._models(source.name, target.name), *fitted]
        trials, example, pictures = self._stream.run(
            source, target, methods, before, wanted, numbers, progress.advance
        )
        with self._clock("statistics"):
            trials = {name: _with_distance(trial, wanted) for name, trial in trials.items()}
            scores = self._scores(trials, wanted)
        whose = {name: set(samples[name].patients.tolist()) for name in (source.name, target.name)}
        shared = whose[source.name] & whose[target.name]
        summary = {
            "source": source.name,
            "target": target.name,
            "slices": len(trials[BEFORE].rows),
            "paired": len(trials[CEILING].rows) if CEILING in trials else 0,
            "patients": {
                "source": len(whose[source.name]),
                "target": len(whose[target.name]),
                "shared": len(shared),
            },
            "target_values": density,
        }
        # Features of tiles are many: only what the files show of them is kept.
        return PairResult(
            summary,
            {name: trial.title for name, trial in trials.items()},
            {name: trial.rows for name, trial in trials.items()},
            scores,
            {name: mean_profiles(trial.sample) for name, trial in trials.items()},
            mean_profiles(wanted),
            {name: tile_count(trial.sample) for name, trial in trials.items()},
            wanted.names,
            feature_means(wanted),
            example,
            pictures,
        )

    def _models(self, of: str, to: str) -> list[Method]:
        names = [AFTER, *(f"{AFTER}_{n}" for n in range(2, len(self._guidances) + 1))]

        def applied(each: Guidance) -> Callable[[Stack, Spacing], Stack]:
            return lambda hu, _: each.translate(hu, of, to)

        return [
            Method(name, each.title, applied(each), model=True)
            for name, each in zip(names, self._guidances, strict=True)
        ]

    def _scores(self, trials: dict[str, Trial], wanted: Sample) -> dict[str, Scores]:
        truth = trials.get(CEILING)
        scores = {
            name: score(
                trial,
                wanted,
                truth,
                self._settings,
                intervals_of_sets=name == BEFORE or name.startswith(AFTER),
            )
            for name, trial in trials.items()
        }
        if COMBAT in self._settings.baselines:
            moved = combat(trials[BEFORE], wanted, truth, self._settings)
            scores |= {COMBAT: moved} if moved else {}
        return scores

    def _metrics(
        self,
        samples: dict[str, Sample],
        floors: dict[str, dict[str, float]],
        pairs: list[PairResult],
    ) -> dict:
        settings = self._settings
        digests = [domain.digest for domain in self._domains]
        titles = {name: title for pair in pairs for name, title in pair.titles.items()}
        if any(COMBAT in pair.scores for pair in pairs):
            titles[COMBAT] = TITLES[COMBAT]
        titles[CEILING] = titles.pop(CEILING, TITLES[CEILING])
        summaries = [pair.summary | pair.figures for pair in pairs]
        return {
            "format_version": FORMAT_VERSION,
            "model": self._model,
            "split": settings.split,
            "fitted_on": self._baselines.fitted_on,
            "window_hu": list(self._window),
            "tile": settings.tile,
            "extractors": [extractor.title for extractor in self._extractors],
            "radiomics": {
                "engine": self._sampler.engine,
                "bin_width_hu": settings.bin_width,
                "roi": self._sampler.roi,
                "features": max(len(sample.names) for sample in samples.values()),
            },
            "settings": dataclasses.asdict(settings),
            "shards": hashlib.sha256("".join(digests).encode()).hexdigest(),
            "methods": titles,
            "models": [name for name in titles if name.startswith(AFTER)],
            "domains": [
                {
                    "name": domain.name,
                    "slices": len(domain.chosen),
                    "patients": len(set(samples[domain.name].patients.tolist())),
                    "tiles": tile_count(samples[domain.name]),
                    "rois": int(samples[domain.name].shown.sum()),
                    "floor": floors[domain.name],
                }
                for domain in self._domains
            ],
            "pairs": summaries,
            "mean": mean_scores([pair["scores"] for pair in summaries]),
            "seconds": {part: round(took, 2) for part, took in self._clock.seconds.items()},
        }


def _targets(wanted: tuple[str, ...], domains: Sequence[DomainSlices]) -> set[str]:
    names = {domain.name for domain in domains}
    unknown = sorted(set(wanted) - names)
    if unknown:
        raise InputError(
            f"--eval.targets: no domain '{unknown[0]}'; there are: {', '.join(sorted(names))}"
        )
    return set(wanted) or names


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
