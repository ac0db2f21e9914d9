"""Skin, fat, breast, muscle, and the table that the patient lies on."""

import numpy as np

from jaxharmo.data.phantom.cavity import cavity, diaphragm
from jaxharmo.data.phantom.patient import Patient
from jaxharmo.data.phantom.shapes import Coordinate, Distance, Plane, ellipse, ellipsoid, union

SKIN_HU = 15.0
FAT_HU = -105.0
MUSCLE_HU = 55.0
GLAND_HU = 30.0
LIVER_HU = 58.0
_SKIN = 1.8
"""mm"""
REACH = 156.0
"""Nothing is further from the middle, mm: within the smallest field of view."""


def outline(patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate) -> Distance:
    """The body without breasts."""
    angle = np.arctan2(y, x)
    first, second, third = patient.outline
    swell = 1 + first * np.cos(2 * angle) + second * np.sin(3 * angle) + third * np.cos(3 * angle)
    size = 0.95 + 0.05 * np.sin(np.pi * np.clip(z / patient.lung_height, 0, 1))
    axes = patient.width * size * swell, patient.depth * size * swell
    return ellipse(x, y, axes, np.where(np.asarray(y) > 0, 2.7, 2.3))


def breasts(patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate) -> Distance:
    """Two half ellipsoids on the front of the chest."""
    centre = (0.46 * patient.width, -0.72 * patient.depth, 0.56 * patient.lung_height)
    axes = (54.0, 0.2 * patient.depth + patient.breast, 58.0)
    return ellipsoid(np.abs(x), y, z, centre, axes)


def paint(patient: Patient, plane: Plane, texture: np.ndarray) -> None:
    """All layers outside the ribs and the liver below; ``texture`` is a field of SD near 1."""
    x, y, z = plane.x, plane.y, plane.z
    chest = outline(patient, x, y, z)
    body = chest
    if patient.breast:
        body = union(chest, breasts(patient, x, y, z), blend=20.0)
    plane.paint(body, SKIN_HU)
    plane.paint(body + _SKIN, FAT_HU + 6 * texture)
    if patient.breast:
        gland = np.maximum(breasts(patient, x, y, z) + 9, chest - 4)
        plane.cover(np.clip(0.5 - gland / 4, 0, 1) * np.clip(0.4 + texture, 0, 1), GLAND_HU)
    # The back carries less fat and more muscle.
    within = chest + patient.fat * np.where(y > 0, 0.8, 1.0)
    streaks = np.clip(1.5 * texture - 1.9, 0, 1)
    plane.paint(within, MUSCLE_HU - 120 * streaks)
    ribs = cavity(patient, x, y, z)
    layer = np.maximum(np.abs(ribs - 11) - 1.2, within + 2)
    plane.cover(0.7 * np.clip(0.5 - layer / 2, 0, 1), FAT_HU)
    plane.paint(ribs, FAT_HU + 10 * texture)
    below = np.maximum(ribs + 3, -diaphragm(patient, x, y, z) + 3)
    plane.paint(below, LIVER_HU)


def paint_table(patient: Patient, plane: Plane) -> None:
    """A curved shell of carbon fibre around foam."""
    x, y = plane.x, plane.y
    radius = 340.0
    top = np.hypot(x, y - (patient.depth + 4 - radius)) - radius
    ends = np.maximum(np.hypot(x, y) - REACH, np.abs(x) - 118)
    board = np.maximum(np.maximum(-top, top - 18), ends)
    plane.paint(board, -150.0)
    plane.paint(board + 1.6, -955.0)
