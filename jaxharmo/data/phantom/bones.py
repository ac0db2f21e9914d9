"""Ribs and their cartilage, spine, shoulder blades, breastbone, collarbones."""

import functools
from typing import NamedTuple

import numpy as np

from jaxharmo.data.phantom import cavity
from jaxharmo.data.phantom.patient import Patient
from jaxharmo.data.phantom.shapes import Distance, Plane, Tubes, capsule, ellipse

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
            bone.append((line[:-1], line[1:]))
            if number <= _TRUE:
                front = cavity.middle(patient) - patient.chest[1] - 4
                board = np.array([side * 14.0, front, height * (0.10 + 0.075 * number)])
                share = np.linspace(0, 1, 6)[:, None]
                between = line[-1] + share * (board - line[-1])
                between[:, 1:2] -= 4 * np.sin(np.pi * share)
                cartilage.append((between[:-1], between[1:]))
    return Ribs(*(_tubes(parts, _RIB) for parts in (bone, cartilage)))


def _tubes(parts, radius: float) -> Tubes:
    start, end = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Tubes(start, end, np.full(len(start), radius))


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
        marrow = 480.0 if between < 3.4 else patient.bone_hu + 1.2 * texture
        _paint_shell(plane, ellipse(x, y, (17.0, 14.5), 2.4), 1.2, 420.0, marrow)
    arch = np.maximum(ellipse(x, y - 24, (19.0, 15.0)), -ellipse(x, y - 23, (10.0, 9.0)))
    level = abs(phase / pitch - 0.5)
    _paint_shell(plane, np.maximum(arch, 16 - y), 1.5, 560.0, 240.0)
    plane.paint(ellipse(x, y - 22.5, (9.0, 8.0)), 5.0)
    plane.paint(ellipse(x, y - 23, (5.5, 4.5)), 38.0)
    long = 10 + 22 * max(0.0, 1 - 2.4 * level)
    flat = np.zeros_like(x)
    thorn = capsule(x, y, flat, np.array([0, 38, 0]), np.array([0, 40 + 0.5 * long, 0]), 3.2)
    _paint_shell(plane, thorn, 1.4, 560.0, 260.0)
    if long > 12:
        for side in (-1, 1):
            ends = np.array([side * 14, 22, 0]), np.array([side * (16 + 0.7 * long), 27, 0])
            _paint_shell(plane, capsule(x, y, flat, *ends, 4.5), 1.4, 560.0, 260.0)


def _paint_shoulder_blades(patient: Patient, plane: Plane) -> None:
    level = plane.z / patient.lung_height
    if level > 0.62:
        return
    narrow = np.clip((0.66 - level) / 0.5, 0.1, 1)
    angle = np.linspace(0.62 - 0.36 * narrow, 0.66 + 0.30 * narrow, 6)
    x, y = cavity.around(patient, angle, 0.45 * patient.lung_height, 17.0)
    flat = np.zeros_like(plane.x)
    for side in (-1, 1):
        line = [np.array([side * a, b, 0]) for a, b in zip(x, y, strict=True)]
        for number, (start, end) in enumerate(zip(line, line[1:], strict=False)):
            radius = 3.6 if number in (0, len(line) - 2) else 2.0
            blade = capsule(plane.x, plane.y, flat, start, end, radius)
            _paint_shell(plane, blade, 1.3, 560.0, 230.0)


def paint(patient: Patient, plane: Plane, texture: np.ndarray) -> None:
    """All bones; ``texture`` is that of the marrow, HU."""
    found = ribs(patient)
    cartilage = found.cartilage._replace(radius=found.cartilage.radius + 0.6)
    plane.paint_tubes(cartilage, 95.0, _SQUEEZE)
    plane.paint_tubes(found.bone, CORTEX_HU, _SQUEEZE)
    plane.paint_tubes(
        found.bone._replace(radius=found.bone.radius - 1.1), MARROW_HU, _SQUEEZE
    )
    _paint_shoulder_blades(patient, plane)
    _paint_spine(patient, plane, texture)
    level = plane.z / patient.lung_height
    front = cavity.middle(patient) - cavity.axes(patient, plane.z)[1] - 7
    if 0.06 < level < 0.66:
        half = 26.0 if level < 0.2 else 15.0
        board = ellipse(plane.x, plane.y - front, (half, 5.5), 2.5)
        _paint_shell(plane, board, 1.0, 330.0, 110.0 + 0.6 * texture)
