import numpy as np
import pytest
from chest import chest, ellipse
from scipy import ndimage

from jaxharmo.ops.tissue import bounding_box, near, segment


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


@pytest.mark.parametrize(("side", "grid"), [(512, 256), (515, 128), (320, 256)])
def test_a_coarser_grid_finds_the_same_tissue(side, grid):
    hu, _ = chest(side, 60)
    fine, coarse = segment(hu), segment(hu, grid)
    for name in ("body", "lung", "core", "soft"):
        one, other = getattr(fine, name), getattr(coarse, name)
        assert one.shape == other.shape
        assert dice(one, other) > 0.95, name
    assert np.abs(np.subtract(bounding_box(fine.lung), bounding_box(coarse.lung))).max() <= 4


def test_bounding_boxes_end_behind_the_last_pixel():
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:7] = True
    assert bounding_box(mask) == (2, 3, 5, 7)
    assert bounding_box(np.zeros((8, 9), bool)) == (0, 0, 8, 9)


@pytest.mark.parametrize("radius", [0.75, 1, 3, 4.5, 6])
@pytest.mark.parametrize("shape", [(31, 44), (4, 50)])
def test_near_is_within_the_radius_of_a_distance_transform(radius, shape):
    mask = np.random.default_rng(3).random(shape) > 0.97
    assert mask.any()
    within = ndimage.distance_transform_edt(~mask) <= radius
    np.testing.assert_array_equal(near(mask, radius), within)
    assert not near(mask & False, radius).any()
