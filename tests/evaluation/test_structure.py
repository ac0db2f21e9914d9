import math

import numpy as np
import pytest
from chest import chest, ellipse

from jaxharmo.evaluation import structure

WINDOW = (-1024.0, 400.0)


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
