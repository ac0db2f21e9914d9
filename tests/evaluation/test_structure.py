import math

import numpy as np
import pytest

from jaxharmo.evaluation import structure

WINDOW = (-1024.0, 400.0)


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


@pytest.mark.parametrize(("side", "noise"), [(320, 0), (320, 100), (512, 100)])
def test_finds_lungs_and_leaves_the_couch(side, noise):
    hu, lungs = chest(side, noise)
    tissue = structure.segment(hu)
    assert structure.dice(tissue.lung, lungs) > 0.97
    assert not tissue.body[int(0.9 * side) :].any()
    assert tissue.soft.any()
    assert not (tissue.soft & lungs).any()


def test_a_slice_without_lung_has_an_empty_mask():
    hu = np.full((96, 96), -1000.0)
    hu[ellipse(96, (0.5, 0.5), (0.3, 0.4))] = 40
    assert not structure.segment(hu).lung.any()
    empty = structure.segment(np.full((96, 96), -1000.0))
    assert not empty.body.any()


def test_dice():
    mask = ellipse(64, (0.5, 0.5), (0.2, 0.2))
    assert structure.dice(mask, mask) == 1
    assert structure.dice(mask, ~mask) == 0
    assert math.isnan(structure.dice(mask & ~mask, mask & ~mask))


def test_edges_count_half_at_one_pixel():
    line = np.zeros((20, 20), bool)
    line[10] = True
    scores = [structure.edge_agreement(line, np.roll(line, shift, 0)) for shift in (0, 1, 2)]
    assert scores == [1, 0.5, 0]
    assert structure.edge_agreement(line, line & False) == 0
    assert structure.edge_agreement(line & False, line & False) == 1


def test_edges_see_anatomy_rather_than_noise():
    clean, noisy = chest(320)[0], chest(320, 60)[0]
    edges = structure.edge_map(clean, WINDOW)
    assert edges.any()
    assert structure.edge_agreement(edges, structure.edge_map(noisy, WINDOW)) > 0.85


def test_mean_shift():
    hu, lungs = chest(64)
    assert structure.mean_shift(hu, hu + 12, lungs) == pytest.approx(12)
    assert math.isnan(structure.mean_shift(hu, hu, lungs & ~lungs))
