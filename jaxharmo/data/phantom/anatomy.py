"""The phantom's chest, drawn with ellipses: body, lungs, heart, spine, ribs, vessels, nodules."""

import numpy as np
from jaxtyping import Float

_SUPERSAMPLING = 2


def draw_chest(
    key: tuple[int, int], index: int, slices: int, *, size: int, pixel: float
) -> Float[np.ndarray, "h w"]:
    """The noiseless HU of slice ``index`` of ``slices``, of the patient with the seed ``key``.

    ``size`` pixels of ``pixel`` mm a side; the same anatomy whatever the grid.
    """
    canvas = _Canvas(size * _SUPERSAMPLING, pixel / _SUPERSAMPLING)
    person = np.random.default_rng(key)
    local = np.random.default_rng((*key, index, 1))
    # Height in the chest, 0 at the apex and 1 at the base.
    level = (index + 0.5 + person.uniform(-0.3, 0.3)) / slices
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
    return canvas.pixels.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING).mean((1, 3))


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
