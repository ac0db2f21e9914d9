"""The phantom's chest: a patient in three dimensions, cut by slices."""

import numpy as np
from jaxtyping import Float

from jaxharmo.data.phantom import body, bones, lungs, mediastinum
from jaxharmo.data.phantom.fractal import fractal, sample
from jaxharmo.data.phantom.patient import Patient, draw_patient
from jaxharmo.data.phantom.shapes import Plane

THICKNESS = 5.0
"""Of a slice, mm."""
_PLANES = 4
"""Planes that a slice is the mean of."""
_RANGE = (0.07, 0.93)
"""Of the lungs' height that slices cover."""


def slice_height(patient: Patient, index: int, slices: int) -> float:
    """Depth below the apex of the lungs of the middle of slice ``index`` of ``slices``, mm."""
    shift = np.random.default_rng((*patient.key, 1)).uniform(-0.3, 0.3)
    share = (index + 0.5 + shift) / slices
    return patient.lung_height * (_RANGE[0] + share * (_RANGE[1] - _RANGE[0]))


def draw_chest(
    key: tuple[int, int], index: int, slices: int, *, size: int, pixel: float
) -> Float[np.ndarray, "h w"]:
    """The noiseless HU of slice ``index`` of ``slices``, of the patient with the seed ``key``.

    ``size`` pixels of ``pixel`` mm a side; the same anatomy whatever the grid.
    """
    patient = draw_patient(key)
    return draw_slice(patient, slice_height(patient, index, slices), size=size, pixel=pixel)


def draw_slice(patient: Patient, z: float, *, size: int, pixel: float) -> Float[np.ndarray, "h w"]:
    """The noiseless HU of the slice of 5 mm around ``z`` mm below the apex of the lungs."""
    step = THICKNESS / _PLANES
    middle = Plane(size, pixel, z, step)
    found = lungs.texture(patient, middle, THICKNESS)
    field = fractal((*patient.key, 5), 2.6, 60.0).slab(z, THICKNESS)
    soft = sample(field / field.std(), middle.x, middle.y)
    total = np.zeros((size, size))
    for number in range(_PLANES):
        plane = Plane(size, pixel, z + (number - (_PLANES - 1) / 2) * step, step)
        body.paint_table(patient, plane)
        body.paint(patient, plane, soft)
        mediastinum.paint(patient, plane)
        lungs.paint(patient, plane, found)
        bones.paint(patient, plane, found.parenchyma)
        total += plane.hu
    return total / _PLANES
