"""Trees of vessels: Murray's law, connection, order of branches, and that they fill their lobes."""

import numpy as np
import pytest

from jaxharmo.data.phantom import lungs
from jaxharmo.data.phantom.patient import draw_patient
from jaxharmo.data.phantom.trees import companions, grow

PATIENT = draw_patient((0, 3))
TWIG = 0.42


@pytest.fixture(scope="module")
def points():
    random = np.random.default_rng(0)
    return random.uniform((20, -60, 0), (100, 60, 200), (2000, 3))


@pytest.fixture(scope="module")
def groups(points):
    return (points[:, 2] > 100).astype(int) + 7


@pytest.fixture(scope="module")
def tree(points, groups):
    root = np.array([20.0, 0.0, 100.0])
    return grow(points, groups, root, TWIG, np.random.default_rng(1))


def daughters_of(tree):
    """Numbers of the two daughters of every branch that divides."""
    order = np.argsort(tree.parent, kind="stable")
    order = order[tree.parent[order] >= 0]
    parents = tree.parent[order]
    assert (parents[::2] == parents[1::2]).all()
    return parents[::2], order[::2], order[1::2]


def strahler(tree):
    """Horton-Strahler order of each branch: twigs are 1; two of an order join to the next."""
    order = np.ones(len(tree.parent), int)
    for parent, one, two in sorted(zip(*daughters_of(tree), strict=True), reverse=True):
        order[parent] = max(order[one], order[two]) + (order[one] == order[two])
    return order


def test_murrays_law(tree):
    parents, one, two = daughters_of(tree)
    cubes = tree.tubes.radius**3
    np.testing.assert_allclose(cubes[parents], cubes[one] + cubes[two])
    assert (tree.tubes.radius[parents] > np.maximum(*tree.tubes.radius[[one, two]])).all()


def test_branches_are_joined_and_end_at_every_point(tree, points):
    inner = tree.parent >= 0
    np.testing.assert_array_equal(tree.tubes.start[inner], tree.tubes.end[tree.parent[inner]])
    ends = tree.tubes.end[tree.supplied == 1]
    assert tree.tubes.radius.min() == pytest.approx(TWIG)
    np.testing.assert_allclose(ends[np.lexsort(ends.T)], points[np.lexsort(points.T)])


def test_orders_of_branches_follow_hortons_laws(tree):
    """Counts fall and radii rise by a constant factor an order.

    Huang et al. (1996, doi 10.1152/jappl.1996.81.5.2123) found 3.36 and 1.56 in human pulmonary
    arteries; branches that halve exactly would have 2 and 1.26.
    """
    order = strahler(tree)
    counts = np.bincount(order)[1:]
    radii = np.bincount(order, tree.tubes.radius)[1:] / counts
    assert len(counts) >= 6
    kept = np.arange(5)
    branching = np.exp(-np.polyfit(kept, np.log(counts[kept]), 1)[0])
    widening = np.exp(np.polyfit(kept, np.log(radii[kept]), 1)[0])
    assert 2.0 < branching < 4.0
    assert 1.2 < widening < 1.7
    assert (np.diff(radii) > 0).all()


def test_each_lobe_has_a_branch_of_its_own(tree, points, groups):
    own = np.arange(len(tree.parent))
    while (tree.parent[own] >= 0).any():
        own = np.where(tree.parent[own] >= 0, tree.parent[own], own)
    place = {tuple(point): group for point, group in zip(points, groups, strict=True)}
    ends = np.flatnonzero(tree.supplied == 1)
    for first in (0, 1):
        supplied = {place[tuple(tree.tubes.end[end])] for end in ends[own[ends] == first]}
        assert len(supplied) == 1


def test_airways_keep_beside_their_arteries(tree):
    beside = np.array([0.3, -0.55, -0.78])
    airways = companions(tree, 1.1, beside)
    wide = tree.tubes.radius >= 1.1
    assert len(airways.radius) == wide.sum() > 20
    apart = np.linalg.norm(airways.end - tree.tubes.end[wide], axis=1)
    np.testing.assert_allclose(apart, 2.1 * airways.radius, rtol=0.01)


def test_a_patients_trees_stay_in_the_lungs():
    trees = lungs.trees(PATIENT)
    for tubes in (trees.arteries, trees.veins):
        twigs = tubes.end[tubes.radius < 1.01 * TWIG]
        assert len(twigs) > 1500
        assert lungs.shape(PATIENT, *twigs.T).max() < 0
        for side in (-1, 1):
            assert 4 < tubes.radius[side * tubes.end[:, 0] > 0].max() < 9
    assert (trees.airways.radius >= 1.1).all()
