"""Who measures and compares: what a process opens once, and the tasks that it is given.

Every task depends on the evaluation alone, not on who does it or when.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from jaxharmo.config import Config
from jaxharmo.data.prepare.workers import limit_threads
from jaxharmo.evaluation.chunks import Chunk, read_chunk, write_chunk
from jaxharmo.evaluation.clock import Clock
from jaxharmo.evaluation.extractors import open_extractors
from jaxharmo.evaluation.methods import AFTER, Baselines, Entry, Guidance, Method
from jaxharmo.evaluation.pairs import Direction, RealSlices, Stream
from jaxharmo.evaluation.samples import Sampler
from jaxharmo.evaluation.slices import DomainSlices, open_domains, open_training
from jaxharmo.ops.intensity import Window
from jaxharmo.runtime import keep_compilations

Guide = Callable[[list[DomainSlices]], Sequence[Guidance | Entry]]
"""The slices that may be references, by domain -> what is judged: the model under each guidance, or
other methods."""
Numbers = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Setup:
    """What an evaluation depends on; for other processes ``guide`` has to be picklable."""

    guide: Guide
    shards: Path
    config: Config
    model: str
    roi: str
    """Region of the radiomics: ``lung`` or ``body``."""
    fits: tuple[tuple[tuple[int, int], Numbers], ...]
    """By the numbers of source and target, the slices that the paired baseline is fitted on."""


class Task(NamedTuple):
    """Slices of one grid and domain, to be measured and translated."""

    number: int
    source: int
    """Number of the domain."""
    slices: tuple[int, ...]
    features: bool
    """Whether the slices themselves are to be measured."""
    twins: dict[int, tuple[int | None, ...]]
    """By the number of the target, the slices there that match these pixel by pixel."""


def window_of(config: Config) -> Window:
    """HU range of an evaluation."""
    return config.eval.window or config.data.window


def chunk_path(folder: Path, number: int) -> Path:
    """Of the result of a task."""
    return folder / f"{number:06d}.npz"


def read_result(folder: Path, task: Task) -> Chunk | None:
    """The result of a task; None where it is not done."""
    chunk = read_chunk(chunk_path(folder, task.number))
    done = chunk and chunk.made.keys() == task.twins.keys() and (chunk.real or not task.features)
    return chunk if done else None


class Evaluator:
    """What one process has open: slices, model, baselines and extractors."""

    def __init__(self, setup: Setup, domains: list[DomainSlices], training: list[DomainSlices]):
        config, window = setup.config, window_of(setup.config)
        self.setup, self.clock = setup, Clock()
        self.domains = domains
        self._judged = setup.guide(training)
        self.baselines = Baselines(training, config.eval)
        self.extractors = open_extractors(config.eval)
        self.sampler = Sampler(config.eval, window, self.extractors, self.clock, setup.roi)
        real = RealSlices(window, self.clock)
        self.stream = Stream(real, self.sampler, window, self.clock, setup.model)
        self._fits = dict(setup.fits)
        self._methods: dict[tuple[int, int], list[Method]] = {}

    def measure(self, task: Task, folder: Path) -> None:
        """Do a task; its result appears in ``folder``."""
        directions = [
            Direction(target, self.domains[target], self.methods(task.source, target), twins)
            for target, twins in task.twins.items()
        ]
        source = self.domains[task.source]
        chunk = self.stream.measure(source, task.slices, directions, features=task.features)
        try:
            write_chunk(chunk_path(folder, task.number), chunk)
        except OSError as error:
            raise OSError(f"{folder}: {error.strerror or error}") from None

    def methods(self, source: int, target: int) -> list[Method]:
        """Model and baselines from one domain to another."""
        if (source, target) not in self._methods:
            of, to = self.domains[source].name, self.domains[target].name
            names = [AFTER, *(f"{AFTER}_{n}" for n in range(2, len(self._judged) + 1))]
            models = [
                Method(name, each.title, each.between(of, to), model=True)
                for name, each in zip(names, self._judged, strict=True)
            ]
            with self.clock("baselines"):
                fitted = self.baselines.methods(of, to, self._fits[source, target])
            self._methods[source, target] = [*models, *fitted]
        return self._methods[source, target]


def measure_elsewhere(task: Task, setup: Setup, folder: Path, threads: int) -> None:
    """``Evaluator.measure`` in a process that has the evaluator of the task before still open."""
    with threadpool_limits(1, user_api="blas"):
        opened(setup, threads).measure(task, folder)


@functools.lru_cache(1)
def opened(setup: Setup, threads: int) -> Evaluator:
    """The evaluator of this process, which is to use so many threads."""
    limit_threads(threads)
    keep_compilations()
    domains = open_domains(setup.shards, setup.config, lambda _: None)
    return Evaluator(setup, domains, open_training(setup.shards, domains))
