"""Streams the slices of a pair of domains through all methods; the same measures for each.

In memory are one chunk of slices, the masks of some real ones (packed), and per method a table of
features; images are gone once they are measured.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxharmo.errors import InputError
from jaxharmo.evaluation.clock import Clock, in_threads
from jaxharmo.evaluation.comparisons import Row, compare_slice
from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING, TITLES, Method
from jaxharmo.evaluation.samples import Patches, Sample, Sampler, chunks, joined
from jaxharmo.evaluation.slices import DomainSlices
from jaxharmo.evaluation.structure import Anatomy, emphysema
from jaxharmo.ops.intensity import Window
from jaxharmo.ops.tissue import Tissue, bounding_box

_REMEMBERED = 2048
"""Real slices whose masks and edges are kept, a bit a pixel."""
_GRID = 8
"""Pixels."""


class Example(NamedTuple):
    """One slice for the report, HU."""

    source: np.ndarray
    made: dict[str, np.ndarray]
    """By method, the model first."""
    target: np.ndarray
    """The paired truth, or some slice of the target domain."""
    paired: bool
    tissue: Tissue
    edges: dict[str, np.ndarray]
    """Of the source, the translation and the target."""


class Shown(NamedTuple):
    """One slice for the viewer: HU, cut to the body as far as the slices shown with it reach."""

    source: np.ndarray
    made: dict[str, np.ndarray]
    """By method, the model first."""
    truth: np.ndarray | None
    body: np.ndarray
    """Mask."""
    position: float
    """mm along the normal."""
    spacing: tuple[float, float]
    """Of rows and columns, mm."""


class Trial(NamedTuple):
    """What one method made of the slices of a pair."""

    title: str
    rows: list[Row]
    """A row a slice that the method could make, with ``slice``, ``position_mm``, ``patient``."""
    sample: Sample


class RealSlices:
    """Real slices of all domains, clipped to the window, with masks and edges found once."""

    def __init__(self, window: Window, clock: Clock):
        self._window, self._clock = window, clock
        self._packed = functools.lru_cache(_REMEMBERED)(self._found)

    def looks(self, domain: DomainSlices, numbers: Iterable[int]) -> list[Anatomy]:
        """Slices of one domain."""
        numbers = list(numbers)
        with self._clock("reading"):
            images = [np.clip(domain.pixels(number), *self._window) for number in numbers]
        with self._clock("masks and edges"):
            packed = in_threads(self._packed, [domain] * len(numbers), numbers)
            return [_unpacked(hu, bits) for hu, bits in zip(images, packed, strict=True)]

    def _found(self, domain: DomainSlices, number: int) -> np.ndarray:
        seen = Anatomy.of(domain.pixels(number), self._window)
        return np.packbits(np.stack([*seen.tissue, seen.edges]), axis=-1)

    def shows_lung(self, domain: DomainSlices) -> bool:
        """Whether two of the chosen slices do, looked for from the middle outwards."""
        middle, found = len(domain) / 2, 0
        for number in sorted(domain.chosen, key=lambda number: abs(number - middle)):
            found += bool(self.looks(domain, [number])[0].tissue.core.any())
            if found == 2:
                return True
        return False

    def sample(
        self, domain: DomainSlices, sampler: Sampler, advance: Callable[[int], object]
    ) -> Sample:
        """Features of the chosen slices as they are; ``advance`` counts the finished ones."""
        parts = []
        for numbers in chunks(domain.chosen, domain.grids):
            looks = self.looks(domain, numbers)
            patches = sampler.uniform_patches(looks)
            images = [seen.hu for seen in looks]
            parts.append(_measured(sampler, domain, numbers, looks, patches, images))
            advance(len(numbers))
        return joined(parts)


class Stream:
    """One ordered pair of domains, all methods side by side."""

    def __init__(
        self, real: RealSlices, sampler: Sampler, window: Window, clock: Clock, model: str
    ):
        self._real, self._sampler, self._window = real, sampler, window
        self._clock, self._model = clock, model

    def run(
        self,
        source: DomainSlices,
        target: DomainSlices,
        methods: Sequence[Method],
        before: Sample,
        wanted: Sample,
        shown: Collection[int],
        advance: Callable[[int], object],
    ) -> tuple[dict[str, Trial], Example, list[Shown]]:
        """Trials by method, ``before`` and ``ceiling`` among them, and pictures.

        ``before`` and ``wanted`` are the features of the real slices of both domains, ``shown`` the
        numbers of the source's slices for the viewer. The ceiling is there only where slices are
        paired. ``advance`` counts the finished slices.
        """
        rows: dict[str, list[Row]] = {
            name: [] for name in (BEFORE, *(m.name for m in methods), CEILING)
        }
        parts: dict[str, list[Sample]] = {method.name: [] for method in methods}
        example, most = None, -1
        pictures: list[Shown] = []
        for numbers in chunks(source.chosen, source.grids):
            looks = self._real.looks(source, numbers)
            twins = [target.twin(source, number) for number in numbers]
            truths = self._truths(target, twins)
            patches = self._sampler.uniform_patches(looks)
            images: dict[str, np.ndarray] = {}
            with self._clock("reading"):
                # Not clipped: kernels acted before any window, so a filter would err at its edges.
                stack = np.stack([source.pixels(number) for number in numbers])
            made: dict[str, Sequence[Anatomy | None]] = {BEFORE: looks, CEILING: truths}
            for method in methods:
                images[method.name] = self._made(method, stack, source.headers[numbers[0]].spacing)
                with self._clock("masks and edges"):
                    made[method.name] = in_threads(
                        functools.partial(Anatomy.of, window=self._window), images[method.name]
                    )
                parts[method.name].append(
                    _measured(
                        self._sampler, source, numbers, looks, patches, list(images[method.name])
                    )
                )
            with self._clock("structure"):
                for name, others in made.items():
                    rows[name] += self._rows(source, numbers, looks, others, truths)
            lungs = [int(seen.tissue.lung.sum()) for seen in looks]
            index = int(np.argmax(lungs))
            # The slice with most lung shows most texture.
            if lungs[index] > most:
                most = lungs[index]
                example = self._example(
                    looks[index],
                    {name: stack[index] for name, stack in images.items()},
                    truths[index],
                    target,
                )
            for index, number in enumerate(numbers):
                if number in shown:
                    truth, header = truths[index], source.headers[number]
                    pictures.append(
                        Shown(
                            looks[index].hu,
                            {name: stack[index].copy() for name, stack in images.items()},
                            None if truth is None else truth.hu,
                            looks[index].tissue.body,
                            header.position,
                            header.spacing,
                        )
                    )
            advance(len(numbers))
        assert example is not None, "a domain has at least one slice"
        titles = {method.name: method.title for method in methods}
        trials = {BEFORE: Trial(TITLES[BEFORE], rows[BEFORE], before)} | {
            name: Trial(titles[name], rows[name], joined(some)) for name, some in parts.items()
        }
        ceiling = self._ceiling(rows[CEILING], source, target, wanted)
        return trials | ceiling, example, _cut_to_body(pictures)

    def _truths(self, target: DomainSlices, twins: list[int | None]) -> list[Anatomy | None]:
        found = self._real.looks(target, [twin for twin in twins if twin is not None])
        return [None if twin is None else found.pop(0) for twin in twins]

    def _made(self, method: Method, stack: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
        with self._clock("translation" if method.model else "baselines"):
            images = np.asarray(method.apply(stack, spacing), np.float32)
        if images.shape != stack.shape:
            raise ValueError(f"{method.title} returned shape {images.shape} for {stack.shape}")
        if not np.isfinite(images).all():
            raise InputError(
                f"{self._model}: {method.title}: values are not finite; try an earlier step"
            )
        return np.clip(images, *self._window)

    def _rows(
        self,
        source: DomainSlices,
        numbers: list[int],
        looks: Sequence[Anatomy],
        others: Sequence[Anatomy | None],
        truths: Sequence[Anatomy | None],
    ) -> list[Row]:
        def row(
            number: int, seen: Anatomy, other: Anatomy | None, truth: Anatomy | None
        ) -> Row | None:
            if other is None:
                return None
            header = source.headers[number]
            place = {"patient": header.patient, "slice": number, "position_mm": header.position}
            return place | compare_slice(seen, other, truth, header.spacing, self._window)

        found = in_threads(row, numbers, looks, others, truths)
        return [each for each in found if each is not None]

    def _ceiling(
        self, rows: list[Row], source: DomainSlices, target: DomainSlices, wanted: Sample
    ) -> dict[str, Trial]:
        if not rows:
            return {}
        place = {number: row for row, number in enumerate(wanted.numbers.tolist())}
        twins = [(int(row["slice"]), target.twin(source, int(row["slice"]))) for row in rows]
        measured = [(number, place[twin]) for number, twin in twins if twin in place]
        sample = wanted.rows([row for _, row in measured])
        # As other methods' samples are: by the number of the source slice.
        numbers = np.array([number for number, _ in measured], int)
        return {CEILING: Trial(TITLES[CEILING], rows, dataclasses.replace(sample, numbers=numbers))}

    def _example(
        self,
        seen: Anatomy,
        made: dict[str, np.ndarray],
        truth: Anatomy | None,
        target: DomainSlices,
    ) -> Example:
        other = truth or self._real.looks(target, [target.chosen[len(target.chosen) // 2]])[0]
        translated = Anatomy.of(made[AFTER], self._window)
        edges = {"source": seen.edges, AFTER: translated.edges, "target": other.edges}
        return Example(seen.hu, made, other.hu, truth is not None, seen.tissue, edges)


def _cut_to_body(pictures: list[Shown]) -> list[Shown]:
    """One box for all slices of a shape, so that they stay in place when one scrolls."""
    boxes = {}
    for shape in {each.body.shape for each in pictures}:
        bodies = [each.body for each in pictures if each.body.shape == shape]
        top, left, bottom, right = bounding_box(np.any(bodies, axis=0))
        # On a grid, so that pairs of domains that share a slice mostly cut it alike.
        rows = slice(top // _GRID * _GRID, -(-bottom // _GRID) * _GRID)
        boxes[shape] = rows, slice(left // _GRID * _GRID, -(-right // _GRID) * _GRID)

    def cut(each: Shown) -> Shown:
        box = boxes[each.body.shape]
        return each._replace(
            source=each.source[box],
            made={name: hu[box] for name, hu in each.made.items()},
            truth=None if each.truth is None else each.truth[box],
            body=each.body[box],
        )

    return [cut(each) for each in pictures]


def target_density(real: RealSlices, domain: DomainSlices) -> dict[str, float]:
    """LAA-950 and Perc15 of a real domain: means over the slices that show lung."""
    found = []
    for numbers in chunks(domain.chosen, domain.grids):
        found += [emphysema(seen.hu, seen.tissue.lung) for seen in real.looks(domain, numbers)]
    return {name: _mean([getattr(each, name) for each in found]) for name in ("laa950", "perc15")}


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _unpacked(hu: np.ndarray, bits: np.ndarray) -> Anatomy:
    *masks, edges = np.unpackbits(bits, axis=-1, count=hu.shape[1]).astype(bool)
    return Anatomy(hu, Tissue(*masks), edges)


def _measured(
    sampler: Sampler,
    domain: DomainSlices,
    numbers: list[int],
    looks: Sequence[Anatomy],
    patches: Sequence[Patches],
    images: Sequence[np.ndarray],
) -> Sample:
    headers = [domain.headers[number] for number in numbers]
    return sampler(images, looks, headers, patches, numbers, len(domain.chosen))
