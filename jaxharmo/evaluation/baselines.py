"""What a translation has to beat: simple methods fitted on the slices to train on.

Each is fitted by a class method and then called with slices in HU, (n, h, w), of the source domain;
it returns slices of the same shape, clipped to ``WINDOW``.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Complex, Float
from scipy import ndimage

Slice = Float[np.ndarray, "h w"]
Slices = Float[np.ndarray, "n h w"]
Spacing = tuple[float, float]
Spaced = tuple[Slice, Spacing]
"""A slice with a spacing of its own, mm."""

WINDOW = (-1024.0, 3071.0)
"""HU range of input and output; padding lies below. Pass slices that are not clipped further: a
linear filter does not hold for clipped bone and air."""
UNIT: Spacing = (1.0, 1.0)
"""Spacing of rows and columns where it does not matter, mm."""
_BANDS = 192
_HIGHEST = 12.0
"""lp/cm; pixels of 0.6 mm and more hold nothing above it, even along the diagonal."""
_SMOOTH = 4.0
"""Width of the Gaussian that smooths the logarithm of a ratio of powers, bands."""
_LARGEST_GAIN = 32.0
"""Where the source holds next to nothing, a ratio is noise."""


class Identity:
    """The source as it is."""

    def __call__(self, hu: Slices, spacing: Spacing = UNIT) -> Slices:
        """Slices clipped to ``WINDOW``."""
        return np.clip(hu, *WINDOW)


@dataclasses.dataclass(frozen=True)
class HistogramMatching:
    """A rising map of HU that turns the source's distribution into the target's."""

    source_hu: Float[np.ndarray, "k"]
    target_hu: Float[np.ndarray, "k"]

    @classmethod
    def fit(cls, source: Iterable[Slice], target: Iterable[Slice]) -> "HistogramMatching":
        """Match the distributions of all pixels of either set, in bins of 1 HU."""
        (low, share), (other, wanted) = _distribution(source), _distribution(target)
        return cls(low, np.interp(share, wanted, other))

    def __call__(self, hu: Slices, spacing: Spacing = UNIT) -> Slices:
        """Slices with the map applied to every pixel."""
        found = np.interp(np.clip(hu, *WINDOW), self.source_hu, self.target_hu)
        return found.astype(np.float32)


def _distribution(slices: Iterable[Slice]) -> tuple[np.ndarray, np.ndarray]:
    """HU that occur, and the share of pixels below the middle of each."""
    low, high = WINDOW
    edges = np.arange(low - 0.5, high + 1)
    counts = np.zeros(edges.size - 1)
    for hu in slices:
        counts += np.histogram(np.clip(hu, low, high), edges)[0]
    held = counts > 0
    share = (np.cumsum(counts) - counts / 2) / counts.sum()
    return (edges[:-1] + 0.5)[held], share[held]


@dataclasses.dataclass(frozen=True)
class SpectralFilter:
    """A linear, shift-invariant, isotropic filter: what a reconstruction kernel is."""

    gain: Float[np.ndarray, "k"]
    """By frequency, at the middles of 192 bands up to 12 lp/cm."""
    source_mean: float
    """HU that the filter leaves where it is, and"""
    target_mean: float
    """the HU it becomes."""

    @classmethod
    def fit(
        cls,
        source: Iterable[Slice | Spaced],
        target: Iterable[Slice | Spaced],
        spacing: Spacing = UNIT,
    ) -> "SpectralFilter":
        """Unpaired: the root of the ratio of the radial power of the two domains.

        H(f)² = <|T|²> / <|S|²>, smoothed over 0.25 lp/cm, H(0) = 1. The domains should show like
        anatomy. ``spacing`` in mm holds for all slices; where it differs, pass (slice, spacing)
        pairs instead of slices.
        """
        powers, weight = [], np.full(_BANDS, np.inf)
        for slices in (source, target):
            total = _Bands()
            for hu, steps in _spaced(slices, spacing):
                spectrum = _spectrum(hu, 0.0)
                total.add(np.abs(spectrum) ** 2, hu.shape, steps)
            powers.append(total.means)
            weight = np.minimum(weight, total.counts)
        ratio = _over(powers[1], powers[0])
        held = np.isfinite(ratio) & (ratio > 0)
        # The few frequencies of a low band depend on the anatomy of few patients.
        logarithms, weight = np.where(held, np.log(np.where(held, ratio, 1)) / 2, 0), weight * held
        smooth = _over(
            *(ndimage.gaussian_filter1d(x, _SMOOTH) for x in (weight * logarithms, weight))
        )
        return cls(_filled(np.r_[1.0, np.exp(smooth[1:])]), 0.0, 0.0)

    @classmethod
    def fit_paired(
        cls,
        source: Iterable[Slice | Spaced],
        target: Iterable[Slice | Spaced],
        spacing: Spacing = UNIT,
    ) -> "SpectralFilter":
        """Paired pixel by pixel: H(f) = Re <T S*> / <|S|²>, least squares among isotropic filters.

        It is Wiener's: where noise of the two is not the same, the gain falls.
        """
        pairs = [
            (first, second, steps)
            for (first, steps), (second, _) in zip(
                _spaced(source, spacing), _spaced(target, spacing), strict=True
            )
        ]
        means = [float(np.mean([np.clip(p[i], *WINDOW).mean() for p in pairs])) for i in (0, 1)]
        cross, power = _Bands(), _Bands()
        for first, second, steps in pairs:
            s, t = _spectrum(first, means[0]), _spectrum(second, means[1])
            cross.add(np.real(t * s.conj()), first.shape, steps)
            power.add(np.abs(s) ** 2, first.shape, steps)
        return cls(_filled(_over(cross.means, power.means)), *means)

    def __call__(self, hu: Slices, spacing: Spacing = UNIT) -> Slices:
        """Slices filtered as a whole and clipped; ``spacing`` in mm."""
        places, gain = (np.arange(_BANDS) + 0.5) * _HIGHEST / _BANDS, self.gain
        height, width = hu.shape[-2:]
        response = np.interp(_frequency((height, width), spacing), places, gain)
        spectrum = _spectrum(hu, self.source_mean) * response
        found = np.fft.irfft2(spectrum, (height, width)) + self.target_mean
        return np.clip(found, *WINDOW).astype(np.float32)


def _spaced(slices: Iterable[Slice | Spaced], spacing: Spacing) -> Iterator[tuple[Slice, Spacing]]:
    for item in slices:
        yield item if isinstance(item, tuple) else (item, spacing)


def _spectrum(hu: np.ndarray, mean: float) -> Complex[np.ndarray, "..."]:
    return np.fft.rfft2(np.clip(hu, *WINDOW).astype(np.float64) - mean)


@functools.lru_cache(16)
def _frequency(shape: tuple[int, int], spacing: Spacing) -> Float[np.ndarray, "h w"]:
    """Of a real transform, lp/cm."""
    rows = np.fft.fftfreq(shape[0], spacing[0] / 10)
    columns = np.fft.rfftfreq(shape[1], spacing[1] / 10)
    return np.hypot(rows[:, None], columns)


class _Bands:
    """Sums of a spectral quantity by band of frequency."""

    def __init__(self):
        self._sums, self._counts = np.zeros((2, _BANDS + 1))

    def add(self, values: np.ndarray, shape: tuple[int, ...], spacing: Spacing) -> None:
        frequency = _frequency((shape[-2], shape[-1]), spacing)
        band = np.minimum((frequency * _BANDS / _HIGHEST).astype(int), _BANDS).ravel()
        # A density: slices of another size or spacing count by their pixels.
        scale = spacing[0] * spacing[1] / (shape[-2] * shape[-1])
        self._sums += np.bincount(band, values.ravel() * scale, _BANDS + 1)
        self._counts += np.bincount(band, minlength=_BANDS + 1)

    @property
    def counts(self) -> Float[np.ndarray, "k"]:
        return self._counts[:-1]

    @property
    def means(self) -> Float[np.ndarray, "k"]:
        return _over(self._sums, self._counts)[:-1]


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)


def _filled(gain: np.ndarray) -> np.ndarray:
    """Bands without a frequency take their neighbours' gain."""
    gain = np.clip(gain, -_LARGEST_GAIN, _LARGEST_GAIN)
    held = np.isfinite(gain)
    places = np.arange(gain.size)
    return np.interp(places, places[held], gain[held])
