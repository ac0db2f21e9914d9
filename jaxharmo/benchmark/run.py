"""A benchmark from start to end: suite, trainings, evaluation, one table.

``benchmark.json``, format version 1, with null where a figure has no meaning::

    {"format_version": 1, "suite", "about", "date", "device", "versions": {package: version},
     "objects": "phantom" | "shards", "size", "field_of_view_mm", "digest": of the test slices,
     "domains": [name], "patients": {split: count}, "seeds": count,
     "network": settings of the network trained on pairs and its RMSE on the validation split,
     "window_hu", "columns": {name: title},
     "methods": [{"title", "kind": "baseline" | "paired" | "judged", "mean": {column: value},
                  "spread": {column: SD over seeds},
                  "directions": [{"source", "target", "figures": {column: value}}]}],
     "sentences": [what is better than a method under judgement]}
"""

import dataclasses
import datetime
import itertools
import json
import os
import platform
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax

from jaxharmo.benchmark.arrays import FOLDER, read_results, write_arrays
from jaxharmo.benchmark.network import NetworkConfig
from jaxharmo.benchmark.shards import Prepared, SuiteConfig, prepare_suite
from jaxharmo.benchmark.suites import SUITES
from jaxharmo.benchmark.supervised import paired_network
from jaxharmo.benchmark.table import COLUMNS, Kind, Row, in_markdown, in_sentences, make_row
from jaxharmo.config import Config, DataConfig, EvalConfig, check
from jaxharmo.config_files import find_config, load_config
from jaxharmo.console import message
from jaxharmo.errors import InputError
from jaxharmo.evaluation.evaluate import evaluate
from jaxharmo.evaluation.methods import CEILING, Entry, Guidance, guidances
from jaxharmo.experiment import train_run
from jaxharmo.files import make_folder, write_text
from jaxharmo.lock import locked
from jaxharmo.translator import load_translator
from jaxharmo.version import __version__

FORMAT_VERSION = 1
JUDGED = (-1024.0, 400.0)
"""HU range in which everything is measured."""
_NETWORK = "network trained on pairs"
_KINDS: dict[str, Kind] = {"spectral_paired": "paired"}
"""Of the rest of the baselines: ``baseline``."""
_PACKAGES = ("jax", "flax", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is compared with the baselines, and how often."""

    model: tuple[Path, ...] = ()
    """Folders of finished training runs on the domains of the suite."""
    config: tuple[str, ...] = ()
    """Configs to train on the suite without pairs: names of shipped ones, or paths."""
    results: tuple[str, ...] = ()
    """NAME=FOLDER: translations by any other method, from the slices in WORKDIR/arrays."""
    seeds: int = 1
    """Trainings of every config and of the network trained on pairs; the table has their mean and
    standard deviation."""
    max_slices: int = 0
    """At most so many test slices of a domain, evenly spread; 0: all."""


def run_benchmark(
    name: str,
    workdir: Path,
    suite: SuiteConfig,
    network: NetworkConfig,
    config: BenchmarkConfig,
    report: Callable[[str], None] = message,
) -> str:
    """Prepare, train, evaluate; returns the table, and writes it and benchmark.json.

    What an earlier call has prepared or trained under ``workdir`` is kept. Raises ``InputError``
    for an unknown suite, objects that do not suit it, and results or runs that do not fit.
    """
    if name not in SUITES:
        raise InputError(f"{name}: no such suite; there are {', '.join(SUITES)}")
    if config.seeds < 1:
        raise InputError("--seeds must be at least 1")
    settings = {find_config(each).stem: load_config(each) for each in config.config}
    if len(settings) < len(config.config):
        raise InputError("--config: two of one name; rename one")
    make_folder(workdir)
    with locked(workdir / "lock", "this benchmark"):
        prepared = prepare_suite(SUITES[name], workdir, suite, report)
        write_arrays(prepared.paired, prepared.manifest, workdir / FOLDER)
        benchmark = _Benchmark(name, workdir, suite, network, config, prepared, report)
        return benchmark.run(settings)


class _Contender(NamedTuple):
    """A row of the table that ``evaluate`` does not fit by itself."""

    title: str
    kind: Kind
    entries: Sequence[Entry | Guidance]
    """One a seed."""


class _Benchmark:
    def __init__(
        self,
        name: str,
        workdir: Path,
        suite: SuiteConfig,
        network: NetworkConfig,
        config: BenchmarkConfig,
        prepared: Prepared,
        report: Callable[[str], None],
    ):
        self._name, self._workdir, self._suite = name, workdir, suite
        self._network, self._config = network, config
        self._prepared, self._report = prepared, report
        self._validation: list[dict[str, float]] = []

    def run(self, settings: dict[str, Config]) -> str:
        """``settings``: the configs to train, by the titles of their rows."""
        # Wrong input is found before anything is trained, which takes minutes.
        evaluation = self._evaluation
        given = [
            *(self._finished(path) for path in self._config.model),
            *read_results(self._config.results, self._prepared.manifest, self._suite.size),
        ]
        titles = [_NETWORK, *settings, *(entry.title for entry in given)]
        if twice := [title for title in titles if titles.count(title) > 1]:
            raise InputError(f"'{twice[0]}' twice among models, configs and results; rename one")
        contenders = [
            self._of_seeds(_NETWORK, "paired", self._supervised),
            *(
                self._of_seeds(title, "judged", partial(self._trained, title, config))
                for title, config in settings.items()
            ),
            *(_Contender(entry.title, "judged", [entry]) for entry in given),
        ]
        metrics = evaluate(
            lambda _: [entry for contender in contenders for entry in contender.entries],
            self._prepared.paired,
            evaluation,
            self._workdir / "evaluation",
            model=f"suite {self._name}",
            report=self._report,
        )
        assert metrics is not None, "all parts are done at once"
        rows = _rows(metrics, contenders)
        sentences = in_sentences(rows)
        text = "\n".join([in_markdown(rows), *(["", *sentences] if sentences else [])])
        content = self._content(metrics, rows, sentences)
        write_text(
            self._workdir / "benchmark.json",
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        )
        write_text(self._workdir / "benchmark.md", text + "\n")
        return text

    @property
    def _evaluation(self) -> Config:
        names = self._prepared.manifest.domain_names
        # A tile has to fit into the body.
        tile = max(32, min(EvalConfig().tile, self._suite.size // 2))
        return check(
            Config(
                data=DataConfig(domains=names),
                eval=EvalConfig(window=JUDGED, tile=tile, max_slices=self._config.max_slices),
            )
        )

    def _of_seeds(
        self, title: str, kind: Kind, make: Callable[[int], Entry | Guidance]
    ) -> _Contender:
        seeds = range(self._config.seeds)
        named = [f"{title}, seed {seed}" if len(seeds) > 1 else title for seed in seeds]
        made = [make(seed)._replace(title=each) for seed, each in zip(seeds, named, strict=True)]
        return _Contender(title, kind, made)

    def _supervised(self, seed: int) -> Entry:
        folder = self._workdir / "networks"
        network, found = paired_network(
            self._prepared.paired, folder, self._network, JUDGED, seed, self._report
        )
        self._validation.append(found)
        return Entry(_NETWORK, lambda of, to: lambda hu, spacing, _: network(hu, spacing, of, to))

    def _trained(self, title: str, config: Config, seed: int) -> Guidance:
        run = self._workdir / "runs" / f"{title}-{seed}"
        seeded = dataclasses.replace(
            config,
            data=dataclasses.replace(config.data, domains=()),
            train=dataclasses.replace(config.train, seed=seed),
            # Slices of the suite may be smaller than the tiles of the config.
            eval=self._evaluation.eval,
        )
        train_run(seeded, run, self._prepared.training)
        return self._finished(run)

    def _finished(self, run: Path) -> Guidance:
        translator = load_translator(run)
        missing = set(self._prepared.manifest.domain_names) - set(translator.domains)
        if missing:
            raise InputError(
                f"{run}: not trained on '{min(missing)}'; train it with --data "
                f"{self._prepared.training}"
            )
        settings = dataclasses.replace(translator.config.eval, guidance="latent", latents=0)
        (guidance,) = guidances(translator, [], settings)
        return guidance._replace(title=run.resolve().name)

    def _content(self, metrics: dict, rows: Sequence[Row], sentences: Sequence[str]) -> dict:
        manifest = self._prepared.manifest
        return {
            "format_version": FORMAT_VERSION,
            "suite": self._name,
            "about": SUITES[self._name].about,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} CPU cores",
            "versions": {"jaxharmo": __version__, "python": platform.python_version()}
            | {name: version(name) for name in _PACKAGES},
            "objects": "shards" if self._suite.shards else "phantom",
            "size": self._suite.size,
            "field_of_view_mm": self._suite.field_of_view,
            "digest": metrics["shards"],
            "domains": list(manifest.domain_names),
            "patients": {split: len(names) for split, names in manifest.patients.items()},
            "seeds": self._config.seeds,
            "network": dataclasses.asdict(self._network) | {"validation": self._validation},
            "window_hu": list(JUDGED),
            "columns": {column.name: column.title for column in COLUMNS},
            "methods": [row._asdict() for row in rows],
            "sentences": list(sentences),
        }


def _rows(metrics: dict, contenders: Sequence[_Contender]) -> list[Row]:
    """Baselines first, in the order of the evaluation; those that use pairs after the others."""
    titles = metrics["methods"]
    fitted = [name for name in titles if name not in (*metrics["models"], CEILING)]
    rows = [make_row(metrics, titles[n], _KINDS.get(n, "baseline"), [n]) for n in fitted]
    rows.sort(key=lambda row: row.kind != "baseline")
    names = iter(metrics["models"])
    for contender in contenders:
        own = list(itertools.islice(names, len(contender.entries)))
        rows.append(make_row(metrics, contender.title, contender.kind, own))
    return rows
