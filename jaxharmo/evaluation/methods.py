"""What turns slices of one domain into another: the model, baselines, and the truth as a ceiling.

Every method is judged by the same measures on the same slices. ``before`` leaves slices as they
are; ``after`` is the model under its first guidance; ``ceiling`` takes the paired real slice.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from jaxharmo.config import EvalConfig
from jaxharmo.evaluation.baselines import HistogramMatching, SpectralFilter
from jaxharmo.evaluation.slices import DomainSlices, spread, twins
from jaxharmo.translator import Translator

Stack: TypeAlias = Float[np.ndarray, "n h w"]
Spacing: TypeAlias = tuple[float, float]
Translate = Callable[[Stack, str, str, Spacing], Stack]
"""Slices in HU, the names of their domain and of the target's, spacing, mm -> slices in HU, same
shape."""
_Spaced: TypeAlias = tuple[np.ndarray, Spacing]

BEFORE, AFTER, CEILING, COMBAT = "before", "after", "ceiling", "combat"
TITLES = {
    BEFORE: "source as it is",
    AFTER: "model",
    "histogram": "histogram matching",
    "spectral": "spectral filter",
    "spectral_paired": "spectral filter, paired",
    COMBAT: "ComBat on features",
    CEILING: "real paired slice",
}


Apply = Callable[[Stack, Spacing, Sequence[int]], Stack]
"""Slices in HU of one shape, their spacing, mm, and their numbers in the source domain -> slices in
HU, same shape."""


class Method(NamedTuple):
    """One way to make slices of the target domain."""

    name: str
    title: str
    apply: Apply
    model: bool
    """Whether it is the model under judgement, not a baseline."""


class Guidance(NamedTuple):
    """The model under one source of styles."""

    title: str
    translate: Translate

    def between(self, of: str, to: str) -> Apply:
        """The translation from one domain to another."""
        return lambda hu, spacing, _: self.translate(hu, of, to, spacing)


class Entry(NamedTuple):
    """Another method under judgement."""

    title: str
    between: Callable[[str, str], Apply]
    """By the names of source and target."""


def guidances(
    translator: Translator, training: list[DomainSlices], settings: EvalConfig
) -> list[Guidance]:
    """The model under each guidance in ``settings``; a style is computed once per domain."""
    found: list[Guidance] = []
    if settings.guidance in ("latent", "both"):
        if settings.latents:
            found += [
                Guidance(
                    f"model, latent {number + 1}",
                    _styled(translator, lambda to, n=number: translator.latent_style(to, n)),
                )
                for number in range(settings.latents)
            ]
        else:
            found.append(
                Guidance("model, mean latent style", _styled(translator, translator.mean_style))
            )
    if settings.guidance in ("reference", "both"):
        by_name = {domain.name: domain for domain in training}

        def style(to: str) -> np.ndarray:
            return _reference_style(translator, by_name[to], settings)

        count, split = settings.references, _splits(training)
        title = f"model, style of {count} reference slices ({split} split)"
        found.append(Guidance(title, _styled(translator, style)))
    return found


def _styled(translator: Translator, style_of: Callable[[str], np.ndarray]) -> Translate:
    styles: dict[str, np.ndarray] = {}

    def translate(hu: Stack, of: str, to: str, spacing: Spacing) -> Stack:
        if to not in styles:
            styles[to] = style_of(to)
        return translator.translate(
            hu, translator.steering(styles[to], of, float(np.mean(spacing)))
        )

    return translate


def _reference_style(
    translator: Translator, domain: DomainSlices, settings: EvalConfig
) -> np.ndarray:
    """Mean style of slices drawn at random without replacement; they may differ in shape."""
    random = np.random.default_rng((settings.seed, 7))
    count = min(settings.references, len(domain))
    drawn = sorted(random.choice(len(domain), count, replace=False).tolist())
    styles = [
        translator.reference_style(domain.pixels(number)[None], of=domain.name) for number in drawn
    ]
    return np.mean(styles, axis=0)


def _splits(training: list[DomainSlices]) -> str:
    return " or ".join(sorted({domain.split for domain in training}))


class Baselines:
    """Fits the baselines of a pair of domains, on the slices that ``open_training`` chose."""

    def __init__(self, training: list[DomainSlices], settings: EvalConfig):
        self._domains = {domain.name: domain for domain in training}
        self._settings = settings
        self.fitted_on = _splits(training)

    def methods(self, source: str, target: str, pairs: Sequence[tuple[int, int]]) -> list[Method]:
        """Image baselines from domain ``source`` to ``target``; ``pairs`` as of ``pairs``."""
        first, second = self._domains[source], self._domains[target]
        fitted: list[Method] = []
        if "histogram" in self._settings.baselines:
            some = ((hu for hu, _ in self._spaced(domain)) for domain in (first, second))
            fitted.append(_method("histogram", HistogramMatching.fit(*some)))
        if "spectral" in self._settings.baselines:
            spaced = (self._spaced(first), self._spaced(second))
            fitted.append(_method("spectral", SpectralFilter.fit(*spaced)))
        if pairs and "spectral_paired" in self._settings.baselines:
            both = [(_spaced(first, one), _spaced(second, two)) for one, two in pairs]
            sides = zip(*both, strict=True)
            fitted.append(_method("spectral_paired", SpectralFilter.fit_paired(*sides)))
        return fitted

    def pairs(self, source: str, target: str) -> tuple[tuple[int, int], ...]:
        """Numbers of the training slices that match pixel by pixel, some evenly spread."""
        if "spectral_paired" not in self._settings.baselines:
            return ()
        first, second = self._domains[source], self._domains[target]
        every = enumerate(twins(first, second, range(len(first))))
        found = [(number, twin) for number, twin in every if twin is not None]
        picked = spread(len(found), min(self._settings.fit_slices, len(found)))
        return tuple(found[index] for index in picked)

    def _numbers(self, domain: DomainSlices) -> list[int]:
        return spread(len(domain), min(self._settings.fit_slices, len(domain)))

    def _spaced(self, domain: DomainSlices) -> Iterator[Any]:
        return (_spaced(domain, number) for number in self._numbers(domain))


def _spaced(domain: DomainSlices, number: int) -> _Spaced:
    return domain.pixels(number), domain.header(number).spacing


def _method(name: str, fitted: Callable[[Stack, Spacing], Stack]) -> Method:
    return Method(name, TITLES[name], lambda hu, spacing, _: fitted(hu, spacing), model=False)
