"""Lungs: shape, lobes and fissures, parenchyma, vessels and airways, nodules, emphysema."""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from jaxharmo.data.phantom import mediastinum
from jaxharmo.data.phantom.cavity import cavity, diaphragm
from jaxharmo.data.phantom.fractal import fractal, sample
from jaxharmo.data.phantom.patient import Patient
from jaxharmo.data.phantom.shapes import Coordinate, Distance, Plane, Tubes, joined, union
from jaxharmo.data.phantom.trees import Tree, companions, grow

GAMMA = 1.4
"""Exponent of the parenchyma's texture in space; in slices of 5 mm it gives the power f^-1.2.

Measured between the vessels of real lungs (Lung-PET-CT-Dx, doi 10.7937/TCIA.2020.NNC2-0461) from
0.5 to 3.5 lp/cm, with the kernels divided out and the noise of soft tissue taken off: f^-1.1 in 181
patches of a patient in slices of 5 mm, f^-1.3 in 13 patches of another in slices of 8 mm.
"""
POWER = 14_000.0
"""HU² mm² of the texture at 1 lp/cm in thin slices; 3,300 in slices of 5 mm.

Measured with the exponent, in slices of 5 mm: 2,800 to 4,900.
"""
SLOPE = 0.45
"""Density rises to the back, where gravity compresses the lung: HU a mm."""
VESSEL_HU = 40.0
WALL_HU = 0.0
NODULE_HU = 20.0
PLEURA_HU = -100.0
BULLA_HU = -985.0
_PLEURA = 0.5
"""Both layers in a fissure, mm."""
_SPACING = 8.5
"""Between the ends of the trees, mm."""
_TWIG = 0.42
"""Radius of the vessels there, mm."""
_AIRWAY = 1.1
"""Radius of the thinnest airway that is drawn, mm; in thinner ones the wall is below resolution."""
_LUMEN = 0.72
"""Share of an airway's radius within the wall."""
_NODULES = 5.0
"""A patient has on average."""
_SIDES = (-1, 1)
"""The patient's right, which is on the left of the image, and left."""


def shape(patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate) -> Distance:
    """Both lungs: within the ribs, off the mediastinum, above the diaphragm."""
    space = np.maximum(cavity(patient, x, y, z), diaphragm(patient, x, y, z))
    return -union(-space, mediastinum.shape(patient, x, y, z), blend=8.0)


def lobe(patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate) -> np.ndarray:
    """Number of the lobe: upper, lower, middle on the right; the next two on the left."""
    oblique, horizontal = fissures(patient, x, y, z)
    right = np.where(oblique > 0, 1, np.where(horizontal > 0, 2, 0))
    return np.where(np.asarray(x) < 0, right, np.where(oblique > 0, 4, 3))


def fissures(
    patient: Patient, x: Coordinate, y: Coordinate, z: Coordinate
) -> tuple[Distance, Distance]:
    """Distances from the oblique and the horizontal fissure; positive behind and below."""
    height, (width, depth) = patient.lung_height, patient.chest
    # The oblique fissure runs from high at the back to low at the front, a little warped.
    warp = 5 * np.sin(x / 21 + patient.key[1]) + 4 * np.sin(y / 17)
    oblique = (z - 0.47 * height + warp) * 0.64 + (y + 0.05 * depth) * 0.77
    horizontal = z - 0.46 * height + 0.1 * (np.abs(x) - 0.5 * width) + 3 * np.sin(y / 23)
    return oblique, horizontal


class Trees(NamedTuple):
    """Vessels and airways of both lungs."""

    arteries: Tubes
    veins: Tubes
    airways: Tubes
    nodules: Tubes


@functools.lru_cache(4)
def trees(patient: Patient) -> Trees:
    """Trees that begin at the roots of the lungs and reach every part of every lobe."""
    random = np.random.default_rng((*patient.key, 2))
    found: list[list[Tree]] = []
    for vein in (False, True):
        points = _points(patient, random)
        groups = lobe(patient, *points.T)
        found.append([])
        for side in _SIDES:
            own = np.sign(points[:, 0]) == side
            root = np.array(mediastinum.root(patient, side, vein=vein))
            found[-1].append(grow(points[own], groups[own], root, _TWIG, random))
    arteries, veins = (joined(each.tubes for each in found[kind]) for kind in range(2))
    beside = [
        companions(tree, _AIRWAY, np.array([0.3 * side, -0.55, -0.78]))
        for side, tree in zip(_SIDES, found[0], strict=True)
    ]
    centres = points[random.choice(len(points), random.poisson(_NODULES))]
    nodules = Tubes(centres, centres, random.uniform(2, 8, len(centres)))
    return Trees(arteries, veins, joined(beside), nodules)


def _points(patient: Patient, random: np.random.Generator) -> Float[np.ndarray, "n 3"]:
    """Evenly spread over the lungs, 2 mm off their surface."""
    width, depth = patient.chest
    limits = ((-width, width), (-depth - 20, depth + 20), (0.0, 1.15 * patient.lung_height))
    grid = np.meshgrid(*(np.arange(*limit, _SPACING) for limit in limits), indexing="ij")
    points = np.stack(grid, -1).reshape(-1, 3)
    points = points + random.uniform(-0.5, 0.5, points.shape) * _SPACING
    return points[shape(patient, *points.T) < -2]


class Texture(NamedTuple):
    """What varies from place to place in a slice, on the grid of an image."""

    parenchyma: Float[np.ndarray, "h w"]
    """HU to add."""
    destruction: Float[np.ndarray, "h w"]
    """Where emphysema comes first: standard normal, high first."""


def texture(patient: Patient, plane: Plane, thickness: float) -> Texture:
    """The mean over a slice of ``thickness`` mm around the plane."""
    fine = fractal((*patient.key, 3), GAMMA).slab(plane.z, thickness)
    coarse = fractal((*patient.key, 4), 3.2, 45.0).slab(plane.z, thickness)
    return Texture(
        np.sqrt(POWER) * sample(fine, plane.x, plane.y),
        sample(coarse / coarse.std(), plane.x, plane.y),
    )


def parenchyma_hu(patient: Patient, plane: Plane, found: Texture) -> Float[np.ndarray, "h w"]:
    """HU between the vessels. Emphysema begins in the upper lobes, in patches of all sizes."""
    hu = patient.lung_hu + SLOPE * plane.y + found.parenchyma
    level = np.clip(plane.z / patient.lung_height, 0, 1)
    share = np.clip(patient.emphysema * (1.5 - level), 1e-6, 0.95)
    destroyed = np.clip(0.5 + 3 * (found.destruction + ndtri(share)), 0, 1)
    return hu + destroyed * np.minimum(BULLA_HU + 0.4 * found.parenchyma - hu, 0)


def paint(patient: Patient, plane: Plane, found: Texture) -> None:
    """Lungs with all that is in them."""
    grown = trees(patient)
    lung = shape(patient, plane.x, plane.y, plane.z)
    plane.paint(lung, parenchyma_hu(patient, plane, found))
    inside = np.clip(0.5 - lung / plane.pixel, 0, 1)
    oblique, horizontal = fissures(patient, plane.x, plane.y, plane.z)
    plane.paint_sheet(oblique, _PLEURA, PLEURA_HU, inside)
    plane.paint_sheet(horizontal, _PLEURA, PLEURA_HU, inside * ((plane.x < 0) & (oblique < 0)))
    plane.paint_tubes(grown.airways, WALL_HU)
    plane.paint_tubes(grown.airways._replace(radius=_LUMEN * grown.airways.radius), -990.0)
    plane.paint_tubes(grown.veins, VESSEL_HU)
    plane.paint_tubes(grown.arteries, VESSEL_HU)
    plane.paint_tubes(grown.nodules, NODULE_HU)
