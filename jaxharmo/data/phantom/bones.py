"""Ribs and their cartilage, spine, shoulder blades, breastbone."""

import functools
from typing import NamedTuple

import numpy as np

from jaxharmo.data.phantom import cavity
from jaxharmo.data.phantom.patient import Patient
from jaxharmo.data.phantom.shapes import Distance, Plane, Tubes, ellipse, joined, polyline

CORTEX_HU = 750.0
MARROW_HU = 230.0
_PAIRS = 11
_TRUE = 6
"""The last pair that reaches the breastbone."""
_SQUEEZE = 0.64
"""Ribs are less thick than high."""
_RIB = 3.4
"""Half the thickness of a rib, mm."""


class Ribs(NamedTuple):
    """Bony ribs, and the cartilage that joins them with the breastbone."""

    bone: Tubes
    cartilage: Tubes


@functools.lru_cache(4)
def ribs(patient: Patient) -> Ribs:
    """From each vertebra around the chest, downwards and forwards."""
    height = patient.lung_height
    bone, cartilage = [], []
    for number in range(_PAIRS):
        share = np.linspace(0, 1, 30)
        top = height * (-0.10 + 0.095 * number)
        z = top + height * (0.20 + 0.022 * number) * share * (1.3 - 0.3 * share)
        # Angles from the spine over the side to the front; the last ribs end early.
        angle = np.linspace(1.25, -1.05 + 0.33 * max(number - _TRUE, 0), share.size)
        x, y = cavity.around(patient, angle, z, _RIB + 0.8)
        x, y, z = np.r_[15.0, x], np.r_[patient.spine + 9, y], np.r_[top, z]
        for side in (-1, 1):
            line = np.stack([side * x, y, z], 1)
            bone.append(polyline(line, _RIB))
            if number <= _TRUE:
                front = cavity.middle(patient) - patient.chest[1] - 4
                board = np.array([side * 14.0, front, height * (0.10 + 0.075 * number)])
                share = np.linspace(0, 1, 6)[:, None]
                between = line[-1] + share * (board - line[-1])
                between[:, 1:2] -= 4 * np.sin(np.pi * share)
                cartilage.append(polyline(between, _RIB + 0.6))
    return Ribs(joined(bone), joined(cartilage))


def _paint_shell(plane: Plane, shape: Distance, thickness: float, cortex: float, marrow) -> None:
    plane.paint(shape, cortex)
    plane.paint(shape + thickness, marrow)


def _paint_spine(patient: Patient, plane: Plane, texture: np.ndarray) -> None:
    x, y = plane.x, plane.y - patient.spine
    pitch = 0.095 * patient.lung_height
    phase = (plane.z / pitch + 0.5) % 1 * pitch
    between = min(phase, pitch - phase)
    if between < 2.2:
        plane.paint(ellipse(x, y, (17.0, 14.5), 2.4), 85.0)
    else:
        marrow = 480.0 if between < 3.4 else patient.bone_hu + texture
        _paint_shell(plane, ellipse(x, y, (17.0, 14.5), 2.4), 1.2, 420.0, marrow)
    arch = np.maximum(ellipse(x, y - 24, (19.0, 15.0)), -ellipse(x, y - 23, (10.0, 9.0)))
    level = abs(phase / pitch - 0.5)
    _paint_shell(plane, np.maximum(arch, 16 - y), 1.5, 560.0, 240.0)
    plane.paint(ellipse(x, y - 22.5, (9.0, 8.0)), 5.0)
    plane.paint(ellipse(x, y - 23, (5.5, 4.5)), 38.0)
    long = 10 + 22 * max(0.0, 1 - 2.4 * level)
    y, z = patient.spine, plane.z
    processes = [polyline([(0, y + 38, z), (0, y + 40 + 0.5 * long, z)], 3.2)]
    if long > 12:
        for side in (-1, 1):
            line = [(side * 14, y + 22, z), (side * (16 + 0.7 * long), y + 27, z)]
            processes.append(polyline(line, 4.5))
    tubes = joined(processes)
    plane.paint_tubes(tubes, 560.0)
    plane.paint_tubes(tubes.resized(-1.4), 260.0)


def _paint_shoulder_blades(patient: Patient, plane: Plane) -> None:
    level = plane.z / patient.lung_height
    if level > 0.62:
        return
    narrow = np.clip((0.66 - level) / 0.5, 0.1, 1)
    angle = np.linspace(0.62 - 0.36 * narrow, 0.66 + 0.30 * narrow, 6)
    x, y = cavity.around(patient, angle, 0.45 * patient.lung_height, 17.0)
    z = np.full_like(x, plane.z)
    for side in (-1, 1):
        blade = polyline(np.stack([side * x, y, z], 1), 2.0)
        blade.radius[[0, -1]] = 3.6
        plane.paint_tubes(blade, 560.0)
        plane.paint_tubes(blade.resized(-1.3), 230.0)


def paint(patient: Patient, plane: Plane, texture: np.ndarray) -> None:
    """All bones; ``texture`` is that of the marrow, HU."""
    found = ribs(patient)
    plane.paint_tubes(found.cartilage, 95.0, _SQUEEZE)
    plane.paint_tubes(found.bone, CORTEX_HU, _SQUEEZE)
    plane.paint_tubes(found.bone.resized(-1.1), MARROW_HU, _SQUEEZE)
    _paint_shoulder_blades(patient, plane)
    _paint_spine(patient, plane, texture)
    level = plane.z / patient.lung_height
    front = cavity.middle(patient) - cavity.axes(patient, plane.z)[1] - 7
    if 0.06 < level < 0.66:
        half = 26.0 if level < 0.2 else 15.0
        board = ellipse(plane.x, plane.y - front, (half, 5.5), 2.5)
        _paint_shell(plane, board, 1.0, 330.0, 110.0 + 0.6 * texture)
