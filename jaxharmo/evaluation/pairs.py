"""Slices of a domain through all methods; the same measures for each.

In memory are one chunk of slices and the masks of some real ones (packed); images are gone once
they are measured.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxharmo.data.records import SliceHeader
from jaxharmo.errors import InputError
from jaxharmo.evaluation.chunks import Chunk, Made, Real
from jaxharmo.evaluation.clock import Clock, in_threads
from jaxharmo.evaluation.comparisons import Row, compare_slice
from jaxharmo.evaluation.methods import AFTER, BEFORE, CEILING, Method
from jaxharmo.evaluation.samples import Sample, Sampler
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
        return np.packbits(np.stack([*seen.tissue, seen.air, seen.edges]), axis=-1)

    def shows_lung(self, domain: DomainSlices) -> bool:
        """Whether two of the chosen slices do, looked for from the middle outwards."""
        middle, found = len(domain) / 2, 0
        for number in sorted(domain.chosen, key=lambda number: abs(number - middle)):
            found += bool(self.looks(domain, [number])[0].tissue.core.any())
            if found == 2:
                return True
        return False


class Direction(NamedTuple):
    """Where the slices of a chunk are to go."""

    number: int
    """Of the target domain."""
    target: DomainSlices
    methods: Sequence[Method]
    twins: Sequence[int | None]
    """The slice of the target that matches each of the chunk pixel by pixel, if there is one."""


class Stream:
    """Slices of one domain and what methods make of them, side by side."""

    def __init__(
        self, real: RealSlices, sampler: Sampler, window: Window, clock: Clock, model: str
    ):
        self._real, self._sampler, self._window = real, sampler, window
        self._clock, self._model = clock, model

    def measure(
        self,
        source: DomainSlices,
        numbers: Sequence[int],
        directions: Sequence[Direction],
        *,
        features: bool,
    ) -> Chunk:
        """Everything about slices of one grid; their own features only where ``features``.

        Methods ``before`` and ``ceiling`` are the real slices, of which only the rows are here;
        the ceiling is there only where slices are paired.
        """
        looks = self._real.looks(source, numbers)
        with self._clock("reading"):
            headers = [source.header(number) for number in numbers]
            # Not clipped: kernels acted before any window, so a filter would err at its edges.
            stack = np.stack([source.pixels(number) for number in numbers])
        patches = self._sampler.uniform_patches(looks)

        def sample(images: Sequence[np.ndarray]) -> Sample:
            total = len(source.chosen)
            return self._sampler(images, looks, headers, patches, numbers, total)

        real = None
        if features:
            density = [emphysema(seen.hu, seen.tissue.lung) for seen in looks]
            real = Real(sample([seen.hu for seen in looks]), np.array(density))
        made: dict[int, dict[str, Made]] = {}
        for direction in directions:
            truths = self._truths(direction)
            found = made[direction.number] = {
                BEFORE: Made(self._rows(headers, numbers, looks, looks, truths), None)
            }
            known: list[tuple[np.ndarray, Made]] = []
            for method in direction.methods:
                images = self._made(method, stack, headers[0].spacing, numbers)
                # Models with one style a domain give the same under every guidance.
                one = next((one for other, one in known if np.array_equal(images, other)), None)
                if one is None:
                    others = self._anatomies(images)
                    rows = self._rows(headers, numbers, looks, others, truths)
                    one = Made(rows, sample(list(images)))
                    known.append((images, one))
                found[method.name] = one
            if any(truths):
                found[CEILING] = Made(self._rows(headers, numbers, looks, truths, truths), None)
        lung = np.array([int(seen.tissue.lung.sum()) for seen in looks])
        return Chunk(lung, real, made, self._clock.take())

    def example(self, source: DomainSlices, number: int, direction: Direction) -> Example:
        """Slice ``number`` of the source through all methods; ``direction`` is of that alone."""
        (seen,), (truth,) = self._real.looks(source, [number]), self._truths(direction)
        made = self._each(source, number, direction)
        target = direction.target
        other = truth or self._real.looks(target, [target.chosen[len(target.chosen) // 2]])[0]
        (translated,) = self._anatomies([made[AFTER]])
        edges = {"source": seen.edges, AFTER: translated.edges, "target": other.edges}
        return Example(seen.hu, made, other.hu, truth is not None, seen.tissue, edges)

    def shown(
        self, source: DomainSlices, numbers: Sequence[int], direction: Direction
    ) -> list[Shown]:
        """Slices for the viewer."""
        pictures = []
        looks, truths = self._real.looks(source, numbers), self._truths(direction)
        for number, seen, truth in zip(numbers, looks, truths, strict=True):
            made, header = self._each(source, number, direction), source.header(number)
            hu = None if truth is None else truth.hu
            pictures.append(
                Shown(seen.hu, made, hu, seen.tissue.body, header.position, header.spacing)
            )
        return _cut_to_body(pictures)

    def _each(
        self, source: DomainSlices, number: int, direction: Direction
    ) -> dict[str, np.ndarray]:
        stack, spacing = source.pixels(number)[None], source.header(number).spacing
        return {
            each.name: self._made(each, stack, spacing, [number])[0] for each in direction.methods
        }

    def _truths(self, direction: Direction) -> list[Anatomy | None]:
        twins = [twin for twin in direction.twins if twin is not None]
        found = self._real.looks(direction.target, twins)
        return [None if twin is None else found.pop(0) for twin in direction.twins]

    def _made(
        self,
        method: Method,
        stack: np.ndarray,
        spacing: tuple[float, float],
        numbers: Sequence[int],
    ) -> np.ndarray:
        with self._clock("translation" if method.model else "baselines"):
            images = np.asarray(method.apply(stack, spacing, numbers), np.float32)
        if images.shape != stack.shape:
            raise ValueError(f"{method.title} returned shape {images.shape} for {stack.shape}")
        if not np.isfinite(images).all():
            raise InputError(
                f"{self._model}: {method.title}: values are not finite; try an earlier step"
            )
        return np.clip(images, *self._window)

    def _anatomies(self, images: Iterable[np.ndarray]) -> list[Anatomy]:
        with self._clock("masks and edges"):
            return in_threads(functools.partial(Anatomy.of, window=self._window), images)

    def _rows(
        self,
        headers: Sequence[SliceHeader],
        numbers: Sequence[int],
        looks: Sequence[Anatomy],
        others: Sequence[Anatomy | None],
        truths: Sequence[Anatomy | None],
    ) -> list[Row]:
        def row(
            header: SliceHeader,
            number: int,
            seen: Anatomy,
            other: Anatomy | None,
            truth: Anatomy | None,
        ) -> Row | None:
            if other is None:
                return None
            place = {"patient": header.patient, "slice": number, "position_mm": header.position}
            return place | compare_slice(seen, other, truth, header.spacing, self._window)

        with self._clock("structure"):
            found = in_threads(row, headers, numbers, looks, others, truths)
        return [each for each in found if each is not None]


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


def _unpacked(hu: np.ndarray, bits: np.ndarray) -> Anatomy:
    *masks, air, edges = np.unpackbits(bits, axis=-1, count=hu.shape[1]).astype(bool)
    return Anatomy(hu, Tissue(*masks), air, edges)
