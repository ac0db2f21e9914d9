import numpy as np
import pytest
from chest import chest, ellipse

from jaxharmo.ops.tissue import segment


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(("side", "noise"), [(320, 0), (320, 100), (512, 100)])
def test_finds_lungs_and_leaves_the_couch(side, noise):
    hu, lungs = chest(side, noise)
    tissue = segment(hu)
    assert dice(tissue.lung, lungs) > 0.97
    assert not tissue.body[int(0.9 * side) :].any()
    assert tissue.soft.any()
    assert not (tissue.soft & lungs).any()


def test_a_slice_without_lung_has_an_empty_mask():
    hu = np.full((96, 96), -1000.0)
    hu[ellipse(96, (0.5, 0.5), (0.3, 0.4))] = 40
    assert not segment(hu).lung.any()
    empty = segment(np.full((96, 96), -1000.0))
    assert not empty.body.any()
