"""A chest phantom, acquired once and reconstructed with several kernels: paired domains.

Anatomy is drawn as ellipses (body, lungs, heart, spine, ribs, vessels, nodules), projected (Radon
transform), given Poisson noise, and reconstructed by filtered back-projection. A kernel is a radial
filter on the result: a Hann window for the standard kernel, times the ratio of the kernel's
transfer function to the standard one's, measured on patients reconstructed with Siemens B10f, B30f,
B50f and B70f (mean of two patients, who agree within 5 %; kernels are linear and shift-invariant up
to 5 lp/cm). Noise therefore has each kernel's own power spectrum and is correlated between kernels,
as it is in a scanner.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16
from skimage.transform import iradon, radon

from jaxharmo.data.manifest import (
    FILE_NAME,
    SPLITS,
    Domain,
    Manifest,
    read_manifest,
    unique_slugs,
    write_manifest,
)
from jaxharmo.data.records import Slice, SliceHeader
from jaxharmo.data.shards import ShardWriter
from jaxharmo.errors import InputError
from jaxharmo.files import make_folder

WINDOW = (-1024.0, 3071.0)
_FREQUENCY = np.arange(0.125, 6.7, 0.5)
"""Of the ratios below, line pairs per cm."""
# fmt: off
KERNEL_RATIOS: dict[str, tuple[float, ...]] = {
    "B10f": (1.000, 1.004, 0.962, 0.899, 0.822, 0.732, 0.631, 0.525,
             0.418, 0.315, 0.223, 0.148, 0.065, 0.024),
    "B30f": (1.0,) * 14,
    "B50f": (0.996, 0.965, 0.989, 1.083, 1.234, 1.444, 1.720, 2.087,
             2.565, 3.179, 3.995, 5.044, 6.369, 8.052),
    "B70f": (0.980, 0.966, 1.022, 1.180, 1.428, 1.786, 2.322, 3.071,
             4.170, 5.720, 8.009, 11.316, 15.921, 22.899),
}
# fmt: on
"""Transfer function of a kernel over that of B30f."""
_STANDARD_CUTOFF = 6.5
"""lp/cm at which the standard kernel's Hann window is zero; puts its noise peak at 2.0 lp/cm."""
_WATER = 0.019
"""Linear attenuation of water, 1/mm, near 70 keV."""
_PHOTONS = 2.0e5
"""A detector element and view, unattenuated; gives about 15 HU of noise with B30f."""
_SUPERSAMPLING = 2
_FIELD_OF_VIEW = 320.0
"""mm"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhantomConfig:
    """Size of a phantom data set."""

    patients: int = 14
    """Patients, each with an anatomy of its own."""
    slices: int = 4
    """Slices of each patient."""
    size: int = 320
    """Matrix size, pixels; the field of view is 320 mm."""
    kernels: tuple[str, ...] = ("B30f", "B50f", "B70f")
    """Reconstruction kernels, one domain each; known: B10f, B30f, B50f, B70f."""
    seed: int = 0
    """Of anatomy and noise; the same seed gives the same slices."""

    @property
    def pixel(self) -> float:
        """Pixel size, mm."""
        return _FIELD_OF_VIEW / self.size


def make_phantom(
    directory: Path,
    config: PhantomConfig | None = None,
    progress: Callable[[Iterator, int], Iterator] = lambda items, total: items,
) -> Manifest:
    """Write the phantom as a shard set, on all cores; a finished one of equal config is kept.

    Raises ``InputError`` for an unknown kernel, too few patients, or a directory that holds
    something else.
    """
    config = config or PhantomConfig()
    _check(config)
    provenance = {"tool": "jaxharmo phantom", "config": repr(config)}
    if (directory / FILE_NAME).exists():
        manifest = read_manifest(directory)
        if manifest.provenance == provenance:
            return manifest
        raise InputError(f"{directory}: holds another data set; name a new folder")
    make_folder(directory)
    if {entry.name for entry in directory.iterdir()} - set(SPLITS):
        raise InputError(f"{directory}: not empty and no phantom; name a new folder")
    names = [f"PHANTOM Ellipse -- {kernel}" for kernel in config.kernels]
    slugs = unique_slugs(names)
    split_of = _splits(config.patients)
    jobs = list(itertools.product(range(config.patients), range(config.slices)))
    with ExitStack() as stack:
        writers = {
            (split, slug): stack.enter_context(ShardWriter(directory, split, slug))
            for split in SPLITS
            for slug in slugs
        }
        # Spawned, not forked: JAX's threads do not survive a fork.
        pool = stack.enter_context(ProcessPoolExecutor(mp_context=get_context("spawn")))
        slices = pool.map(_acquire, itertools.repeat(config), *zip(*jobs, strict=True))
        for (patient, _), reconstructions in zip(jobs, progress(slices, len(jobs)), strict=True):
            for slug, item in zip(slugs, reconstructions, strict=True):
                writers[split_of[patient], slug].write(item)
    domains = tuple(
        Domain(
            index=index,
            name=name,
            slug=slug,
            slices={split: writers[split, slug].count for split in SPLITS},
        )
        for index, (name, slug) in enumerate(zip(names, slugs, strict=True))
    )
    patients = {
        split: [_pseudonym(p) for p in range(config.patients) if split_of[p] == split]
        for split in SPLITS
    }
    manifest = Manifest(
        window=WINDOW,
        spacing="native",
        split_by="patient",
        domains=domains,
        patients=patients,
        paired=tuple(itertools.combinations(names, 2)),
        provenance=provenance,
    )
    write_manifest(directory, manifest)
    return manifest


def kernel_response(kernel: str, frequency: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Transfer function of a kernel at frequencies in lp/cm; 1 at frequency 0."""
    hann = 0.5 * (1 + np.cos(np.pi * np.minimum(frequency / _STANDARD_CUTOFF, 1)))
    ratio = np.interp(frequency, _FREQUENCY, KERNEL_RATIOS[kernel])
    # The measured ratio at the lowest frequency is a gain; a scanner calibrates it away.
    return hann * ratio / KERNEL_RATIOS[kernel][0]


def reconstruct(
    ramp_image: Float[np.ndarray, "h w"], kernel: str, pixel: float
) -> Float[np.ndarray, "h w"]:
    """Apply a kernel to an image reconstructed with the pure ramp filter; ``pixel`` in mm."""
    height, width = ramp_image.shape
    rows = np.fft.fftfreq(height, pixel / 10)
    columns = np.fft.rfftfreq(width, pixel / 10)
    frequency = np.hypot(rows[:, None], columns)
    # The back-projection interpolates linearly between detector elements, a filter of sinc².
    interpolation = np.sinc(np.minimum(frequency * pixel / 10, 0.75)) ** 2
    response = kernel_response(kernel, frequency) / interpolation
    return np.fft.irfft2(np.fft.rfft2(ramp_image) * response, (height, width))


def _check(config: PhantomConfig) -> None:
    unknown = [kernel for kernel in config.kernels if kernel not in KERNEL_RATIOS]
    if unknown or len(set(config.kernels)) != len(config.kernels) or not config.kernels:
        raise InputError(f"--kernels: name each at most once, of {', '.join(KERNEL_RATIOS)}")
    if config.patients < 3:
        raise InputError("--patients: at least 3, one for each split")
    if config.slices < 1 or config.size < 64:
        raise InputError("--slices must be at least 1, --size at least 64")


def _splits(patients: int) -> list[str]:
    """About 30 % of the patients for the test, one in ten for validation, the rest to train on."""
    test, validation = max(1, round(0.3 * patients)), max(1, patients // 10)
    counts = {"train": patients - test - validation, "validation": validation, "test": test}
    return [split for split in SPLITS for _ in range(counts[split])]


def _pseudonym(patient: int) -> str:
    return f"phantom-{patient:03d}"


def _acquire(config: PhantomConfig, patient: int, index: int) -> list[Slice]:
    """One acquisition of one slice, reconstructed with every kernel."""
    random = np.random.default_rng((config.seed, patient, index))
    truth = draw_chest(config, patient, index)
    attenuation = _WATER * (1 + truth / 1000)
    angles = np.linspace(0, 180, round(1.25 * config.size), endpoint=False)
    lines = radon(attenuation, angles, circle=True) * config.pixel
    counts = random.poisson(_PHOTONS * np.exp(-lines))
    noisy = np.log(_PHOTONS / np.maximum(counts, 1)) / config.pixel
    ramp_image = iradon(noisy, angles, filter_name="ramp", circle=True)
    rows, columns = (np.flatnonzero((truth > -500).any(axis)) for axis in (1, 0))
    body = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    slices = []
    for domain, kernel in enumerate(config.kernels):
        hu = 1000 * (reconstruct(ramp_image, kernel, config.pixel) / _WATER - 1)
        pixels: Int16[np.ndarray, "h w"] = np.rint(np.clip(hu, *WINDOW)).astype(np.int16)
        header = SliceHeader(
            domain=domain,
            patient=_pseudonym(patient),
            series=f"{_pseudonym(patient)}-{kernel}",
            acquisition=_pseudonym(patient),
            position=5.0 * index,
            spacing=(config.pixel, config.pixel),
            body=body,
        )
        slices.append(Slice(header, pixels))
    return slices


def draw_chest(config: PhantomConfig, patient: int, index: int) -> Float[np.ndarray, "h w"]:
    """The noiseless HU of one slice of one patient."""
    size = config.size * _SUPERSAMPLING
    canvas = _Canvas(size, _FIELD_OF_VIEW / size)
    person = np.random.default_rng((config.seed, patient))
    local = np.random.default_rng((config.seed, patient, index, 1))
    # Height in the chest, 0 at the apex and 1 at the base.
    level = (index + 0.5 + person.uniform(-0.3, 0.3)) / config.slices
    width, depth = person.uniform(130, 154), person.uniform(90, 110)
    fat = person.uniform(8, 22)
    canvas.ellipse((0, 0), (depth, width), -100)
    canvas.ellipse((0, 0), (depth - fat, width - fat), person.uniform(40, 60))
    chest = (depth - fat - 12, width - fat - 12)
    lung = (chest[0] * (0.62 + 0.3 * level), chest[1] * (0.36 + 0.08 * level))
    lung_hu = person.uniform(-880, -820)
    for side in (-1, 1):
        centre = (-4.0, side * (chest[1] - lung[1]) * 0.96)
        canvas.ellipse(centre, lung, lung_hu, tilt=side * 0.12)
        _draw_vessels(canvas, centre, lung, local)
    canvas.ellipse((-0.22 * depth, 12), (34 + 16 * level, 38 + 22 * level), person.uniform(35, 50))
    canvas.ellipse((0.28 * depth, -6), (11, 11), person.uniform(35, 60))
    canvas.ellipse((0.05 * depth, 0), (8, 9), -1000)
    spine = (0.62 * depth, 0.0)
    canvas.ellipse(spine, (17, 20), 380)
    canvas.ellipse(spine, (14, 17), person.uniform(140, 220))
    canvas.ellipse((spine[0] + 22, 0), (8, 9), 30)
    for angle in np.arange(0.35, 2 * np.pi, 0.42) + person.uniform(0, 0.2):
        rib = (np.sin(angle) * (chest[0] + 7), np.cos(angle) * (chest[1] + 7))
        canvas.ellipse(rib, (5, 11), 450, tilt=-angle)
        canvas.ellipse(rib, (2.5, 8), 180, tilt=-angle)
    return canvas.pixels.reshape(config.size, _SUPERSAMPLING, config.size, _SUPERSAMPLING).mean(
        (1, 3)
    )


def _draw_vessels(
    canvas: "_Canvas",
    centre: tuple[float, float],
    lung: tuple[float, float],
    random: np.random.Generator,
) -> None:
    """Vessels, thinner and denser outwards, and now and then a nodule."""
    for _ in range(90):
        angle, distance = random.uniform(0, 2 * np.pi), 0.92 * np.sqrt(random.uniform(0, 1))
        radius = 0.6 + 3.2 * (1 - distance) * random.uniform(0.3, 1)
        place = (
            centre[0] + distance * lung[0] * np.sin(angle),
            centre[1] + distance * lung[1] * np.cos(angle),
        )
        axes = (radius, radius * random.uniform(1, 3))
        canvas.ellipse(place, axes, random.uniform(-60, 50), tilt=random.uniform(0, np.pi))
    for _ in range(random.poisson(0.8)):
        angle, radius = random.uniform(0, 2 * np.pi), random.uniform(3, 9)
        place = (
            centre[0] + 0.6 * lung[0] * np.sin(angle),
            centre[1] + 0.6 * lung[1] * np.cos(angle),
        )
        canvas.ellipse(place, (radius, radius), random.uniform(-300, 40))


class _Canvas:
    """A square HU image with the origin in its middle, drawn on in mm (rows, columns)."""

    def __init__(self, size: int, pixel: float):
        self.pixels = np.full((size, size), -1000.0)
        self._axis = (np.arange(size) - (size - 1) / 2) * pixel

    def ellipse(
        self, centre: tuple[float, float], axes: tuple[float, float], hu: float, tilt: float = 0.0
    ) -> None:
        """Fill an ellipse; ``axes`` are its half axes, ``tilt`` turns it, radians."""
        reach = max(axes)
        rows, columns = (
            slice(*np.searchsorted(self._axis, (middle - reach, middle + reach)))
            for middle in centre
        )
        down = self._axis[rows, None] - centre[0]
        right = self._axis[None, columns] - centre[1]
        along = (down * np.cos(tilt) - right * np.sin(tilt)) / axes[0]
        across = (down * np.sin(tilt) + right * np.cos(tilt)) / axes[1]
        self.pixels[rows, columns][along**2 + across**2 <= 1] = hu
