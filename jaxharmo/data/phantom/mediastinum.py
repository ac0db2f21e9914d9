"""Between the lungs: heart, great vessels, trachea, oesophagus, fat; below them: liver, stomach."""

import functools
from collections.abc import Iterator

import numpy as np

from jaxharmo.data.phantom.patient import Patient
from jaxharmo.data.phantom.shapes import (
    Coordinate,
    Distance,
    Plane,
    Point,
    Tubes,
    capsule,
    ellipse,
    ellipsoid,
    joined,
    polyline,
    union,
)

FAT_HU = -100.0
BLOOD_HU = 42.0
_MARGIN = 4.0
"""Fat and pleura between organs and lungs, mm."""
_FAR = 25.0
"""Distance beyond which an organ does not shape the lungs, mm."""

# Paths of a patient of usual depth: x and y from the front of the spine, mm; z in lung heights.
_AORTA: list[Point] = [
    (-2, -48, 0.60), (-10, -50, 0.50), (-8, -46, 0.40), (0, -34, 0.345), (12, -14, 0.34),
    (20, 2, 0.37), (22, 8, 0.45), (18, 8, 0.65), (12, 4, 0.85), (6, 0, 1.1),
]  # fmt: skip
_CAVA: list[Point] = [(-24, -46, 0.24), (-26, -42, 0.40), (-24, -38, 0.62)]
_LOWER_CAVA: list[Point] = [(-22, -34, 0.66), (-20, -28, 0.85), (-18, -20, 1.15)]
_INNOMINATE: list[Point] = [(34, -48, 0.17), (10, -54, 0.22), (-24, -48, 0.27)]
_BRANCHES: tuple[list[Point], ...] = (
    [(-4, -36, 0.34), (-16, -32, 0.20), (-30, -22, 0.0)],
    [(6, -26, 0.33), (10, -24, 0.15), (14, -26, -0.05)],
    [(16, -10, 0.33), (24, -12, 0.15), (36, -14, 0.0)],
)
_TRUNK: list[Point] = [(16, -56, 0.57), (16, -50, 0.50), (18, -40, 0.46)]
_LEFT_ARTERY: list[Point] = [(18, -40, 0.46), (30, -24, 0.44), (44, -16, 0.46)]
_RIGHT_ARTERY: list[Point] = [(16, -42, 0.47), (-8, -30, 0.485), (-42, -22, 0.50)]
_VEINS: tuple[list[Point], ...] = (
    [(-12, -26, 0.57), (-42, -20, 0.56)],
    [(18, -26, 0.57), (44, -18, 0.55)],
)
_TRACHEA: list[Point] = [(0, -30, -0.1), (0, -24, 0.20), (2, -16, 0.41)]
_BRONCHI: tuple[list[Point], ...] = (
    [(2, -16, 0.41), (-20, -16, 0.46), (-42, -14, 0.50)],
    [(2, -16, 0.41), (24, -14, 0.475), (44, -10, 0.50)],
)
_GULLET: list[Point] = [(4, -12, -0.1), (4, -6, 0.35), (4, -6, 0.6), (12, -14, 0.9), (20, -20, 1.0)]


def _placed(patient: Patient, points: list[Point]) -> list[Point]:
    front, scale = patient.spine - 15, patient.depth / 103
    return [(x, front + scale * y, patient.lung_height * z) for x, y, z in points]


def root(patient: Patient, side: int, *, vein: bool) -> Point:
    """Where the arteries or veins enter the right (-1) or left (1) lung."""
    if vein:
        return _placed(patient, _VEINS[side > 0])[-1]
    return _placed(patient, _LEFT_ARTERY if side > 0 else _RIGHT_ARTERY)[-1]


@functools.lru_cache(4)
def _vessels(patient: Patient) -> Tubes:
    """The great vessels."""
    table = [
        (_AORTA[:5], 14.0), (_AORTA[4:], 11.5), (_CAVA, 9.0), (_LOWER_CAVA, 11.0),
        (_INNOMINATE, 6.0), (_TRUNK, 12.0), (_LEFT_ARTERY, 9.5), (_RIGHT_ARTERY, 9.0),
        *((branch, 4.5) for branch in _BRANCHES), *((vein, 6.0) for vein in _VEINS),
    ]  # fmt: skip
    return joined(
        polyline(_placed(patient, points), radius * patient.heart) for points, radius in table
    )


def _chambers(
    patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate
) -> tuple[Distance, Distance, Distance]:
    """Ventricles, left atrium, right atrium."""
    size, front, height = patient.heart, patient.spine - 15, patient.lung_height
    ventricles = (26.0, front - 0.54 * patient.depth, 0.71 * height)
    atrium = (4.0, front - 26.0, 0.60 * height)
    right_atrium = (-20.0, front - 0.47 * patient.depth, 0.66 * height)
    return (
        ellipsoid(x, y, z, ventricles, (52 * size, 37 * size, 46 * size), patient.turn),
        ellipsoid(x, y, z, atrium, (32 * size, 18 * size, 22 * size)),
        ellipsoid(x, y, z, right_atrium, (24 * size, 28 * size, 36 * size)),
    )


def _around(tubes: Tubes, x: Coordinate, y: Coordinate, z: Coordinate) -> Iterator[Distance]:
    """Distances from those tubes that a slice at z comes near to."""
    for start, end, radius in zip(*tubes, strict=True):
        reach = radius + _FAR
        if np.min(z) < max(start[2], end[2]) + reach and np.max(z) > min(start[2], end[2]) - reach:
            yield capsule(x, y, z, start, end, radius)


def shape(patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate) -> Distance:
    """All that the lungs lie beside: organs in fat, the spine, a septum from front to back."""
    tubes = joined([_vessels(patient), polyline(_placed(patient, _TRACHEA), 9.0)])
    spine = ellipse(x, y - patient.spine - 8, (20.0, 26.0))
    behind = ellipse(x, y - patient.spine - 38, (29.0, 21.0))
    septum = np.abs(x - 4) - 2.0 + 0 * y
    thymus = np.abs(x) + 0.35 * (y + 0.55 * patient.depth) - 4
    chambers = _chambers(patient, x, y, z)
    organs = union(*chambers, *_around(tubes, x, y, z), blend=10.0) - _MARGIN
    return union(organs, spine, behind, septum, thymus, blend=12.0)


def paint(patient: Patient, plane: Plane) -> None:
    """Heart and vessels in the fat, oesophagus, airways of the midline."""
    chambers = _chambers(patient, plane.x, plane.y, plane.z)
    heart = union(*chambers, blend=6.0)
    plane.paint(heart, BLOOD_HU)
    # Fat lies in the groove between the chambers.
    groove = np.maximum(np.abs(chambers[0] - chambers[2]) - 2.5, heart + 6)
    plane.cover(0.8 * np.clip(0.5 - groove / 3, 0, 1), FAT_HU)
    plane.paint_tubes(_vessels(patient), BLOOD_HU)
    gullet = polyline(_placed(patient, _GULLET), 7.0)
    plane.paint_tubes(gullet, 35.0)
    plane.paint_tubes(gullet.resized(-5), -200.0)
    for points, radius in ((_TRACHEA, 8.5), *((bronchus, 6.0) for bronchus in _BRONCHI)):
        airway = polyline(_placed(patient, points), radius)
        plane.paint_tubes(airway.resized(1.5), 20.0)
        plane.paint_tubes(airway, -995.0)
