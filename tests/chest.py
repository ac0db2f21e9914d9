"""A chest made of ellipses, in HU, for tests of masks and edges."""

import numpy as np


def ellipse(side, centre, radii):
    y, x = np.mgrid[:side, :side] / side
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1


def chest(side, noise=0.0):
    hu = np.full((side, side), -1000.0)
    hu[ellipse(side, (0.5, 0.5), (0.33, 0.45))] = 40
    lungs = ellipse(side, (0.5, 0.3), (0.22, 0.13)) | ellipse(side, (0.5, 0.7), (0.22, 0.13))
    hu[lungs] = -850
    hu[ellipse(side, (0.45, 0.32), (0.02, 0.02))] = 30
    # The couch, one thin shell below the back.
    hu[int(0.86 * side) : int(0.86 * side) + 2] = -100
    return hu + noise * np.random.default_rng(0).normal(size=hu.shape), lungs
