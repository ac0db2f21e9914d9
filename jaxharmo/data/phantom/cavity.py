"""The cavity of the chest: the space within the ribs, and the diaphragm that closes it below."""

import numpy as np
from jaxtyping import Float

from jaxharmo.data.phantom.patient import Patient
from jaxharmo.data.phantom.shapes import Coordinate, Distance, ellipse

_POWER = 2.25
"""Of the superellipse that a section of the cavity is."""
_TOP = 4.0
"""z of the highest point of the lungs, mm."""


def cavity(patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate) -> Distance:
    """The space within the ribs, without a floor."""
    return np.maximum(ellipse(x, y - middle(patient), axes(patient, z), _POWER), _TOP - z)


def middle(patient: Patient) -> float:
    """Where its middle is along y; there is more muscle behind it than in front."""
    return -0.05 * patient.depth


def axes(patient: Patient, z: Coordinate) -> tuple[Coordinate, Coordinate]:
    """Half width and depth at a height, mm: a dome that is widest in its lower half."""
    level = np.clip(z / patient.lung_height / 0.7, 0.0, 1.0)
    dome = (1 - (1 - level) ** 2.2) ** 0.65
    width, depth = patient.chest
    return width * (0.34 + 0.66 * dome), depth * (0.42 + 0.58 * dome)


def around(
    patient: Patient, angle: Float[np.ndarray, "n"], z: Coordinate, outside: float
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Points ``outside`` mm off the cavity, at angles from the left to the back: x and y."""
    width, depth = (axis + outside for axis in axes(patient, z))
    x, y = np.cos(angle), np.sin(angle)
    reach = (np.abs(x / width) ** _POWER + np.abs(y / depth) ** _POWER) ** (-1 / _POWER)
    return reach * x, middle(patient) + reach * y


def diaphragm(patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate) -> Distance:
    """The space above the diaphragm's two domes, of which the right one is higher."""
    width, depth = patient.chest
    left = np.asarray(x) > 0
    top = 0.66 + 0.05 * left.astype(np.asarray(x).dtype)
    fall = 0.42 * ((np.abs(x) / width - 0.48) / 0.66) ** 2 + 0.30 * (y / depth + 0.25) ** 2
    # Steep at the sides: what lies above one another is further than the surface.
    return 0.6 * (z - patient.lung_height * (top + fall))
