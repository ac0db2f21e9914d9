"""One ordered pair of domains: translate, then compare with source, truth and target domain."""

import contextlib
import functools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxharmo.config import Config
from jaxharmo.errors import InputError
from jaxharmo.evaluation import structure
from jaxharmo.evaluation.features import TAPS, Features, slice_features
from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.evaluation.radiomics import Engine, Row, check_engine, radiomic_features
from jaxharmo.evaluation.report import Example
from jaxharmo.evaluation.results import PairResult
from jaxharmo.evaluation.slices import DomainSlices
from jaxharmo.evaluation.statistics import compare
from jaxharmo.ops.tissue import Tissue, segment

Translate = Callable[[Float[np.ndarray, "n h w"], str], Float[np.ndarray, "n h w"]]

_CHUNK = 16
"""Slices translated and measured at a time."""
_REMEMBERED = 96
"""Real slices whose masks and edges are kept for the next pair."""


class _Real(NamedTuple):
    """A real slice with all that pairs ask of it."""

    hu: np.ndarray
    tissue: Tissue
    edges: np.ndarray


class Sample(NamedTuple):
    """Features of a set of slices: rows of tiles by tap, one row of radiomics a slice."""

    deep: Features
    radiomics: list[Row]


class PairJudge:
    """One evaluation: its domains, its settings and its clock."""

    def __init__(
        self, translate: Translate, domains: list[DomainSlices], config: Config, model: str
    ):
        self.domains = domains
        self.seconds: dict[str, float] = defaultdict(float)
        self.engine: Engine = check_engine(config.eval.radiomics)
        self._translate, self._config, self._model = translate, config, model
        self._window = config.data.window
        self._look = functools.lru_cache(_REMEMBERED)(self._measured)
        self.roi = "lung" if all(map(self._shows_lung, domains)) else "body"

    def real_sample(self, domain: DomainSlices) -> Sample:
        """Features of the chosen slices of a domain as they are."""
        parts = []
        for numbers in _chunks(domain):
            looks = [self._look(domain, number) for number in numbers]
            parts.append(
                self._features([look.hu for look in looks], [look.tissue for look in looks])
            )
        return _joined(parts)

    def pair(
        self, source: DomainSlices, target: DomainSlices, before: Sample, wanted: Sample
    ) -> PairResult:
        """Translate the chosen slices of ``source`` and compare them with ``target``."""
        parts, rows, example, shown = [], [], None, -1
        for numbers in _chunks(source):
            looks = [self._look(source, number) for number in numbers]
            images = self._translated(np.stack([look.hu for look in looks]), target.name)
            parts.append(self._features(list(images), [look.tissue for look in looks]))
            for number, look, image in zip(numbers, looks, images, strict=True):
                twin = target.twin(source, number)
                truth = None if twin is None else self._look(target, twin)
                rows.append({"slice": number, "position_mm": source.headers[number].position})
                rows[-1] |= self._structure(look, image, truth)
                # The slice with most lung shows most texture.
                if look.tissue.lung.sum() > shown:
                    shown = look.tissue.lung.sum()
                    reference = truth or self._look(target, target.chosen[len(target.chosen) // 2])
                    example = Example(look.hu, image, reference.hu, truth is not None, look.tissue)
        assert example is not None, "a domain has at least one slice"
        after = _joined(parts)
        scores, features = self._scores(before, after, wanted)
        summary = {
            "source": source.name,
            "target": target.name,
            "slices": len(rows),
            "paired": sum(math.isfinite(row["rmse_before"]) for row in rows),
            "scores": _over_slices(rows) | scores,
        }
        return PairResult(summary, rows, features, example)

    def _measured(self, domain: DomainSlices, number: int) -> _Real:
        with self._time("reading"):
            hu = np.clip(domain.pixels(number), *self._window)
        with self._time("structure"):
            return _Real(hu, segment(hu), structure.edge_map(hu, self._window))

    def _shows_lung(self, domain: DomainSlices) -> bool:
        middle = len(domain.headers) / 2
        found = 0
        for number in sorted(domain.chosen, key=lambda number: abs(number - middle)):
            found += bool(self._look(domain, number).tissue.core.any())
            if found == 2:
                return True
        return False

    def _translated(self, hu: np.ndarray, to: str) -> np.ndarray:
        with self._time("translation"):
            images = np.asarray(self._translate(hu, to), np.float32)
        if images.shape != hu.shape:
            raise ValueError(f"translate returned shape {images.shape} for {hu.shape}")
        if not np.isfinite(images).all():
            raise InputError(
                f"{self._model}: its translation to '{to}' is not finite; try an earlier step"
            )
        return np.clip(images, *self._window)

    def _features(self, slices: list[np.ndarray], tissues: list[Tissue]) -> Sample:
        tile, width = self._config.eval.tile, self._config.eval.bin_width
        with self._time("FD-Lite0"):
            bodies = [tissue.body for tissue in tissues]
            deep = slice_features(slices, bodies, tile, self._window)
        with self._time("radiomics"):
            masks = [tissue.core if self.roi == "lung" else tissue.body for tissue in tissues]
            shown = [number for number, mask in enumerate(masks) if mask.any()]
            rows = radiomic_features(
                [slices[n] for n in shown], [masks[n] for n in shown], width, self.engine
            )
            return Sample(deep, rows)

    def _structure(self, source: _Real, image: np.ndarray, truth: _Real | None) -> Row:
        """How one translation, and the truth if there is one, relate to the source."""
        with self._time("structure"):
            edges = structure.edge_map(image, self._window)
            made = _Real(image, segment(image), edges)
            row = _against(source, made, "")
        unpaired = dict.fromkeys([f"truth_{name}" for name in row], math.nan)
        row |= _against(source, truth, "truth_") if truth else unpaired
        row["rmse_before"] = _rmse(source.hu, truth.hu) if truth else math.nan
        row["rmse_after"] = _rmse(image, truth.hu) if truth else math.nan
        return row

    def _scores(self, before: Sample, after: Sample, wanted: Sample) -> tuple[dict, list[dict]]:
        """Distances to the target domain, and one row a radiomic feature."""
        with self._time("statistics"):
            scores = {
                f"fd_lite0_{tap}": {
                    "before": _distance(before.deep[tap], wanted.deep[tap]),
                    "after": _distance(after.deep[tap], wanted.deep[tap]),
                }
                for tap in TAPS
            }
            names = list(wanted.radiomics[0]) if wanted.radiomics else []
            tables = [_table(sample.radiomics, names) for sample in (before, after, wanted)]
            first, second = compare(tables[0], tables[2]), compare(tables[1], tables[2])
        scores |= {
            "radiomics_significant": {"before": first.significant, "after": second.significant},
            "radiomics_median_abs_g": {
                "before": first.median_effect,
                "after": second.median_effect,
            },
        }
        means = [table.mean(0) if len(table) else np.full(len(names), np.nan) for table in tables]
        columns = ("source_mean", "translated_mean", "target_mean", "g_before", "g_after")
        columns += ("p_before", "p_after", "q_before", "q_after")
        values = np.stack(
            [*means, first.hedges_g, second.hedges_g, first.p, second.p, first.q, second.q], 1
        )
        return scores, [
            {"feature": name} | dict(zip(columns, row, strict=True))
            for name, row in zip(names, values.tolist(), strict=True)
        ]

    @contextlib.contextmanager
    def _time(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start


def _chunks(domain: DomainSlices) -> Iterator[list[int]]:
    """Numbers of consecutive chosen slices of one shape."""
    chunk: list[int] = []
    for number in domain.chosen:
        if chunk and (len(chunk) == _CHUNK or domain.shapes[number] != domain.shapes[chunk[0]]):
            yield chunk
            chunk = []
        chunk.append(number)
    yield chunk


def _joined(parts: list[Sample]) -> Sample:
    deep = {tap: np.concatenate([part.deep[tap] for part in parts]) for tap in TAPS}
    return Sample(deep, [row for part in parts for row in part.radiomics])


def _table(rows: list[Row], names: list[str]) -> Float[np.ndarray, "n f"]:
    return np.array([[row[name] for name in names] for row in rows]).reshape(len(rows), len(names))


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return frechet_distance(a, b) if min(len(a), len(b)) >= 2 else math.nan


def _rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2, dtype=np.float64)))


def _against(source: _Real, other: _Real, prefix: str) -> Row:
    shift = functools.partial(structure.mean_shift, source.hu, other.hu)
    return {
        f"{prefix}lung_dice": structure.dice(source.tissue.lung, other.tissue.lung),
        f"{prefix}edges": structure.edge_agreement(source.edges, other.edges),
        f"{prefix}shift_hu_lung": shift(source.tissue.core),
        f"{prefix}shift_hu_soft_tissue": shift(source.tissue.soft),
    }


def _over_slices(rows: list[dict]) -> dict:
    """Scores that are means over slices; NaN where no slice has one."""

    def mean(name: str, power: int = 1) -> float:
        values = np.array([row[name] for row in rows])
        values = values[np.isfinite(values)]
        return float(np.mean(values**power) ** (1 / power)) if values.size else math.nan

    scores = {"rmse_hu": {"before": mean("rmse_before", 2), "after": mean("rmse_after", 2)}}
    for name in ("lung_dice", "edges", "shift_hu_lung", "shift_hu_soft_tissue"):
        scores[name] = {"translation": mean(name), "truth": mean(f"truth_{name}")}
    return scores
