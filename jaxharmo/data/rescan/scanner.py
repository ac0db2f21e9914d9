"""A virtual scanner: what it does to an object, as a checked set of values."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float

from jaxharmo.data.manifest import slugify
from jaxharmo.data.phantom.kernels import KERNELS, kernel_response
from jaxharmo.data.rescan.beam import HIGHEST_KVP, LOWEST_KVP
from jaxharmo.ops.iterative import Penalty
from jaxharmo.ops.projection import Geometry

MANUFACTURER = "VIRTUAL"
LENGTHS = (0.7, 1.0, 1.3, 1.7, 2.2)
"""Of the penalty, mm, by level of strength."""
_ITERATIONS = 8
_MOST_GAIN = 100.0
_UNKNOWN = f"kernel: neither a CSV file nor one of {', '.join(KERNELS)}"
_NO_RESPONSE = f"gains: rising frequencies from 0; the first gain 1, all of 0 to {_MOST_GAIN:g}"


def _is_response(gains: tuple[tuple[float, float], ...]) -> bool:
    frequency, gain = zip(*gains, strict=True)
    rising = all(before < after for before, after in itertools.pairwise(frequency))
    finite = all(math.isfinite(value) for value in (*frequency, *gain))
    fair = all(0 <= value <= _MOST_GAIN for value in gain)
    return finite and fair and rising and frequency[0] == 0 and gain[0] == 1


def _gain(
    gains: tuple[tuple[float, float], ...], frequency: Float[np.ndarray, "f"]
) -> Float[np.ndarray, "f"]:
    """Interpolated; 0 beyond the last frequency."""
    known, gain = zip(*gains, strict=True)
    return np.interp(frequency, known, gain, right=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scanner:
    """One acquisition and one reconstruction of it; lengths in mm, at the centre of rotation.

    Raises ``ValueError`` for values that no scanner has.
    """

    name: str
    """Of the model, after the manufacturer VIRTUAL. Scanners of one name that differ in nothing but
    the reconstruction see the same noise."""
    kernel: str
    """One of ``jaxharmo phantom``'s, or a CSV file with columns frequency (lp/cm) and gain."""
    gains: tuple[tuple[float, float], ...] = ()
    """Frequency and gain, where the kernel is not a known one; filled from its file."""
    field_of_view: float = 430.0
    """Side of the image."""
    matrix: int = 512
    """Pixels a side."""
    strength: int = 0
    """Level of iterative reconstruction, 1 to 5; 0 is filtered back-projection."""
    edge: float = 40.0
    """Difference of neighbours that iterative reconstruction takes for an edge, HU."""
    kvp: float = 120.0
    """Tube voltage, kV."""
    photons: float = 2e5
    """An element and view, behind the bowtie's middle and no object, at the tube current for a
    patient like 280 mm of water."""
    exposure: float = 100.0
    """Tube load to put into the manifest, mAs; a label."""
    electronic: float = 12.0
    """Standard deviation of the electronic noise, photons."""
    modulation: float = 0.5
    """Tube current by view and patient as this power of the attenuation; 0 for a constant current.
    0.5 gives the least noise for a dose (Gies et al. 1999, doi 10.1118/1.598778)."""
    bowtie: float = 160.0
    """Radius of the water cylinder behind which the bowtie evens out the beam; 0 for none."""
    focal_spot: float = 0.5
    """Width of its blur."""
    aperture: float = 0.6
    """Width of a detector element's blur."""
    pitch: float = 0.5
    """Between samples along the detector; with a quarter offset smaller than the aperture."""
    elements: int = 1024
    """Samples along the detector; it has to be wider than the object."""
    views: int = 576
    """Over 180 degrees."""
    offset: float = 0.0
    """Error of the calibration, HU."""

    def __post_init__(self) -> None:
        for test, problem in (
            (slugify(self.name) != "unnamed" and len(self.name) <= 40, "name: 1 to 40 characters"),
            (self.name.isprintable(), "name: printable characters only"),
            (self.kernel.isprintable() and self.kernel.strip(), "kernel: must be named"),
            (50 <= self.field_of_view <= 1000, "field_of_view: 50 to 1000 mm"),
            (32 <= self.matrix <= 1024, "matrix: 32 to 1024 pixels"),
            (0 <= self.strength <= len(LENGTHS), f"strength: 0 to {len(LENGTHS)}"),
            (1 <= self.edge <= 1000, "edge: 1 to 1000 HU"),
            (LOWEST_KVP <= self.kvp <= HIGHEST_KVP, f"kvp: {LOWEST_KVP:g} to {HIGHEST_KVP:g} kV"),
            (100 <= self.photons <= 1e12, "photons: 100 to 1e12"),
            (0 < self.exposure <= 1e5, "exposure: above 0, at most 1e5 mAs"),
            (0 <= self.electronic <= 1e4, "electronic: 0 to 1e4 photons"),
            (0 <= self.modulation <= 1, "modulation: 0 to 1"),
            (0 <= self.bowtie <= 300, "bowtie: 0 to 300 mm"),
            (0 <= self.focal_spot <= 5, "focal_spot: 0 to 5 mm"),
            (0 <= self.aperture <= 5, "aperture: 0 to 5 mm"),
            (0.05 <= self.pitch <= 5, "pitch: 0.05 to 5 mm"),
            (
                64 <= self.elements <= 4096 and self.elements % 32 == 0,
                "elements: a multiple of 32, 64 to 4096",
            ),
            (32 <= self.views <= 4096, "views: 32 to 4096"),
            (abs(self.offset) <= 100, "offset: -100 to 100 HU"),
            (self.gains or self.kernel in KERNELS or self.kernel.endswith(".csv"), _UNKNOWN),
            (not self.gains or _is_response(self.gains), _NO_RESPONSE),
        ):
            if not test:
                raise ValueError(problem)

    @property
    def domain(self) -> str:
        """Name of its domain."""
        return f"{MANUFACTURER} {self.name} -- {self.label}"

    @property
    def label(self) -> str:
        """Kernel, and level of strength where it reconstructs iteratively."""
        return f"{self.kernel} I{self.strength}" if self.strength else self.kernel

    @property
    def geometry(self) -> Geometry:
        """Of its rays."""
        return Geometry(views=self.views, elements=self.elements, pitch=self.pitch)

    @property
    def pixel(self) -> float:
        """Side of a pixel, mm."""
        return self.field_of_view / self.matrix

    @property
    def response(self) -> Callable[[Float[np.ndarray, "f"]], Float[np.ndarray, "f"]]:
        """Transfer function of the kernel, of lp/cm; equal for equal kernels."""
        return partial(_gain, self.gains) if self.gains else partial(kernel_response, self.kernel)

    @property
    def penalty(self) -> Penalty:
        """Of its iterative reconstruction, in units of water."""
        length = LENGTHS[self.strength - 1]
        return Penalty(length=length, edge=self.edge / 1000, iterations=_ITERATIONS)
