import math

import numpy as np
import pytest
from chest import chest, ellipse
from scipy import ndimage
from skimage.feature import canny

from jaxharmo.evaluation import structure
from jaxharmo.ops.tissue import segment

WINDOW = (-1024.0, 400.0)


def test_dice():
    mask = ellipse(64, (0.5, 0.5), (0.2, 0.2))
    assert structure.dice(mask, mask) == 1
    assert structure.dice(mask, ~mask) == 0
    assert math.isnan(structure.dice(mask & ~mask, mask & ~mask))


def test_edges_count_half_at_one_pixel():
    line = np.zeros((20, 20), bool)
    line[10] = True
    scores = [
        structure.compare_edges(line, np.roll(line, shift, 0)).agreement for shift in (0, 1, 2)
    ]
    assert scores == [1, 0.5, 0]
    assert structure.compare_edges(line, line & False).agreement == 0
    assert structure.compare_edges(line & False, line & False).agreement == 1


def test_edges_see_anatomy_rather_than_noise():
    clean, noisy = chest(320)[0], chest(320, 60)[0]
    edges = structure.Anatomy.of(clean, WINDOW).edges
    assert edges.any()
    assert (
        structure.compare_edges(edges, structure.Anatomy.of(noisy, WINDOW).edges).agreement > 0.85
    )


def test_edges_are_those_of_scikit_image():
    hu = chest(160, 40)[0][:, :121]
    low, high = WINDOW
    image = (np.clip(hu, low, high).astype(np.float64) - low) / (high - low)
    weak, strong = (8 * slope / (high - low) for slope in structure.EDGE_SLOPES)
    expected = canny(image, structure.EDGE_SCALE, low_threshold=weak, high_threshold=strong)
    np.testing.assert_array_equal(structure.Anatomy.of(hu, WINDOW).edges, expected)


def test_masks_are_those_of_the_segmentation(source):
    for found, expected in zip(source.tissue, segment(source.hu), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_overlap_and_distance_of_borders():
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = True
    moved = np.roll(mask, 3, 1)
    assert structure.iou(mask, moved) == 70 / 130
    assert structure.hausdorff95(mask, moved, (0.5, 2.0)) == 6
    assert structure.hausdorff95(mask, mask, (1, 1)) == 0
    # A stray pixel is more than 5 % of no border.
    stray = mask.copy()
    stray[35, 35] = True
    assert structure.hausdorff95(mask, stray, (1, 1)) == 0
    assert math.isnan(structure.hausdorff95(mask, mask & False, (1, 1)))
    assert math.isnan(structure.iou(mask & False, mask & False))


def test_edge_scores_of_a_displaced_line():
    line = np.zeros((20, 20), bool)
    line[10] = True
    scores = [structure.compare_edges(line, np.roll(line, shift, 0)) for shift in (0, 1, 2, 3)]
    assert [score.iou for score in scores] == [1, 1, 0, 0]
    merits = [score.figure_of_merit for score in scores]
    np.testing.assert_allclose(merits, [1, 9 / 10, 9 / 13, 1 / 2])
    # Half of the line is missing: nothing is added, but the longer map counts.
    half = line & (np.arange(20) < 10)
    assert structure.compare_edges(line, half).figure_of_merit == 0.5
    # The pixel beyond the end is within the tolerance: (11 + 10) / 2 of it and 9.
    assert structure.compare_edges(line, half).iou == pytest.approx(10.5 / 19.5)
    assert structure.compare_edges(line, line & False) == (0, 0, 0)


def test_distances_of_borders_and_edges_equal_distance_transforms():
    random = np.random.default_rng(4)
    masks = [ndimage.gaussian_filter(random.normal(size=(90, 70)), 4) > 0 for _ in range(2)]
    borders = [mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in masks]

    def across(first, second, spacing):
        return ndimage.distance_transform_edt(~second, sampling=spacing)[first]

    spacing = (0.7, 1.3)
    sides = [across(*borders, spacing), across(*reversed(borders), spacing)]
    expected = max(np.percentile(side, 95) for side in sides)
    assert structure.hausdorff95(*masks, spacing) == pytest.approx(expected, rel=1e-12)
    missed, added = across(*borders, 1), across(*reversed(borders), 1)
    recall, precision = (np.maximum(1 - side / 2, 0).mean() for side in (missed, added))
    found = structure.compare_edges(*borders)
    assert found.agreement == pytest.approx(2 * recall * precision / (recall + precision))
    merit = np.sum(1 / (1 + added**2 / 9)) / max(missed.size, added.size)
    assert found.figure_of_merit == pytest.approx(merit)


def test_largest_change_is_that_of_the_whole_slice_smoothed():
    random = np.random.default_rng(8)
    source, other = random.normal(size=(2, 120, 90)) * 50
    mask = ellipse(120, (0.6, 0.3), (0.2, 0.2))[:, :90]
    for spacing in ((0.7, 0.9), (2.0, 1.5)):
        widths = [3 / step for step in spacing]
        smooth = ndimage.gaussian_filter(other - source, widths)
        found = structure.largest_change(source, other, mask, spacing)
        assert found == pytest.approx(np.abs(smooth[mask]).max(), rel=1e-12)
    assert structure.largest_change(source, source, mask, spacing) == 0
    assert math.isnan(structure.largest_change(source, other, mask & False, spacing))


def test_densitometry_by_hand():
    hu = np.linspace(-1000, -801, 200).reshape(10, 20)
    found = structure.emphysema(hu, np.ones(hu.shape, bool))
    assert found.laa950 == 25
    assert found.perc15 == pytest.approx(np.percentile(hu, 15))
    assert np.isnan(structure.emphysema(hu, hu > 0)).all()


@pytest.fixture(scope="module")
def source():
    return structure.Anatomy.of(chest(160, 10)[0], WINDOW)


def scores_of(source, hu):
    return structure.compare_anatomy(source, structure.Anatomy.of(hu, WINDOW), (0.8, 0.8), WINDOW)


def test_a_slice_is_like_itself(source):
    scores = scores_of(source, source.hu)
    for name in ("lung_dice", "lung_iou", "edges", "edge_iou", "edge_merit", "ssim"):
        assert scores[name] == pytest.approx(1), name
    assert scores["edge_preservation"] == pytest.approx(1)
    for name in ("lung_hd95_mm", "shift_hu_lung", "shift_hu_soft_tissue", "shift_hu_air"):
        assert scores[name] == 0, name


def test_a_shift_of_20_hu_is_seen_in_every_tissue(source):
    scores = scores_of(source, source.hu + 20)
    for name in ("shift_hu_lung", "shift_hu_soft_tissue", "shift_hu_air"):
        assert scores[name] == pytest.approx(20, abs=0.1), name
    assert scores["edges"] > 0.99
    assert scores["perc15"] - scores_of(source, source.hu)["perc15"] == pytest.approx(20, abs=0.1)


def test_a_displacement_of_one_pixel_is_seen_by_edges(source):
    scores = scores_of(source, np.roll(source.hu, 1, 1))
    assert scores["edges"] < 0.8
    assert scores["edge_preservation"] < 0.5
    assert scores["edge_merit"] < 0.97
    assert scores["lung_hd95_mm"] == pytest.approx(0.8)
    assert abs(scores["shift_hu_lung"]) < 1


def test_an_erased_nodule_is_seen_by_edges(source):
    erased = source.hu.copy()
    y, x = np.mgrid[:160, :160]
    nodule = (y - 0.45 * 160) ** 2 + (x - 0.32 * 160) ** 2 < 6**2
    erased[nodule] = -850 + 10 * np.random.default_rng(1).normal(size=nodule.sum())
    scores = scores_of(source, erased)
    inside = source.edges & nodule
    assert inside.sum() > 8
    # Its edges are missing, and those of the rest are where they were.
    assert scores["edge_iou"] < 1 - 0.5 * inside.sum() / source.edges.sum()
    assert scores["edge_preservation"] < 0.999
    assert scores["lung_dice"] > 0.99


def test_air_is_neither_lung_nor_couch(source):
    air = source.air
    assert 0.2 < air.mean() < 0.7
    assert source.hu[air].max() < -900
    assert not air[138].any()
