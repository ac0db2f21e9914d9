"""The phantom's chest: tissue, continuity from slice to slice, disease, and differing patients."""

import dataclasses

import numpy as np
import pytest

from jaxharmo.data.phantom import bones, lungs, mediastinum
from jaxharmo.data.phantom.anatomy import draw_slice
from jaxharmo.data.phantom.body import REACH, outline
from jaxharmo.data.phantom.patient import draw_patient
from jaxharmo.data.phantom.scanner import SCANNERS
from jaxharmo.ops.tissue import bounding_box, segment

PIXEL = 1.65
SIZE = 192
PATIENT = dataclasses.replace(draw_patient((0, 3)), emphysema=0.0)
MIDDLE = 0.57 * PATIENT.lung_height
AXIS = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL


def cut(z, patient=PATIENT):
    return draw_slice(patient, z, size=SIZE, pixel=PIXEL)


def hu_at(image, x, y, reach=2.0):
    """Median within ``reach`` mm of a point."""
    near = np.hypot(AXIS - x, AXIS[:, None] - y) <= reach
    return np.median(image[near])


@pytest.fixture(scope="module")
def middle():
    """A slice through the heart."""
    return cut(MIDDLE)


def laa(image, z, patient):
    """Share of the lung off its border below -950 HU."""
    lung = lungs.shape(patient, AXIS[None, :], AXIS[:, None], z) < -4
    return (image[lung] < -950).mean()


def test_tissues_have_their_hounsfield_units(middle):
    front = PATIENT.spine - 15
    expected = {
        "aorta": (18, front + 8 * PATIENT.depth / 103, 30, 55),
        "heart": (26, front - 0.45 * PATIENT.depth, 30, 55),
        "marrow": (0, PATIENT.spine, 90, 260),
        "cord": (0, PATIENT.spine + 23, 20, 60),
        "muscle": (24, 0.80 * PATIENT.depth, 30, 65),
        "fat": (-(PATIENT.width - 0.5 * PATIENT.fat), 0, -130, -80),
        "table": (0, PATIENT.depth + 13, -1000, -900),
        "air": (0, -152, -1000, -1000),
    }
    for tissue, (x, y, low, high) in expected.items():
        assert low <= hu_at(middle, x, y) <= high, tissue
    trachea = cut(0.2 * PATIENT.lung_height)
    assert hu_at(trachea, 0, front - 24 * PATIENT.depth / 103) < -960
    liver = cut(0.9 * PATIENT.lung_height)
    assert hu_at(liver, -0.48 * PATIENT.chest[0], -0.25 * PATIENT.depth) == pytest.approx(58, abs=4)
    lung = segment(middle).core
    assert np.median(middle[lung]) == pytest.approx(PATIENT.lung_hu, abs=35)
    assert middle.max() > 500


def test_the_back_of_the_lung_is_denser_than_its_front(middle):
    lung = segment(middle).core
    thirds = np.quantile(np.nonzero(lung)[0], (1 / 3, 2 / 3))
    rows = np.arange(SIZE)[:, None]
    front, back = (np.median(middle[lung & part]) for part in (rows < thirds[0], rows > thirds[1]))
    assert 10 < back - front < 60


def test_slices_go_on_in_their_neighbours():
    z = 0.45 * PATIENT.lung_height
    first = cut(z)
    lung = segment(first).lung
    apart = [np.abs(cut(z + step) - first)[lung].mean() for step in (0.6, 2.5, 30.0)]
    assert apart[0] < 0.4 * apart[1] < apart[1] < 0.7 * apart[2]


def test_vessels_run_through_the_slices_between_their_ends():
    tubes = lungs.trees(PATIENT).arteries
    axis = tubes.end - tubes.start
    steep = np.abs(axis[:, 2]) / np.linalg.norm(axis, axis=1) * (tubes.radius > 1.6)
    for number in np.argsort(-steep)[:2]:
        for share in (0.2, 0.8):
            x, y, z = tubes.start[number] + share * axis[number]
            assert hu_at(cut(z), x, y, 1.2) > -300


def test_ribs_move_forwards_from_slice_to_slice():
    """Where a rib crosses a slice there is bone, and 15 mm further down it is elsewhere."""
    bone = bones.ribs(PATIENT).bone
    lines = bone.start.reshape(-1, 30, 3)
    rib = lines[7]
    assert rib[0, 0] > 0
    heights = rib[12, 2] + np.array([0.0, 15.0])
    places = [[np.interp(z, rib[:, 2], rib[:, axis]) for axis in (0, 1)] for z in heights]
    images = [cut(z) for z in heights]
    assert places[1][1] < places[0][1] - 15
    for image, place in zip(images, places, strict=True):
        assert hu_at(image, *place, 1.5) > 200
    assert hu_at(images[1], *places[0], 1.5) < 100


def test_fissures_part_the_lobes_and_are_seen(middle):
    lung = np.stack(np.nonzero(segment(middle).core))
    y, x = AXIS[lung]
    found = lungs.lobe(PATIENT, x, y, MIDDLE)
    assert set(found[x < 0]) <= {0, 1, 2}
    assert set(found[x > 0]) == {3, 4}
    oblique, _ = lungs.fissures(PATIENT, x, y, MIDDLE)
    assert (oblique[found == 4] > 0).all()
    assert (oblique[found == 3] <= 0).all()
    hu = middle[lung[0], lung[1]]
    quiet = hu < -700
    near, far = np.abs(oblique) < 0.6, (np.abs(oblique) > 3) & (np.abs(oblique) < 9)
    assert hu[near & quiet].mean() > hu[far & quiet].mean() + 15


def test_emphysema_is_found_again():
    z = 0.35 * PATIENT.lung_height
    found = []
    for severity in (0.0, 0.1, 0.3):
        ill = dataclasses.replace(PATIENT, emphysema=severity)
        found.append(laa(cut(z, ill), z, ill))
    assert found[0] < 0.02
    assert (np.diff(found) > 0.02).all()
    # In the upper lung it is worse than on average.
    assert 0.15 < found[2] < 0.45
    low = 0.75 * PATIENT.lung_height
    assert laa(cut(low, ill), low, ill) < 0.8 * found[2]


def test_emphysema_changes_nothing_but_lung(middle):
    ill = cut(MIDDLE, dataclasses.replace(PATIENT, emphysema=0.3))
    off = lungs.shape(PATIENT, AXIS[None, :], AXIS[:, None], MIDDLE) > 6
    assert np.abs(ill - middle)[off].max() < 1
    assert np.abs(ill - middle).max() > 80


@pytest.mark.slow
def test_the_same_whatever_the_grid(middle):
    fine = draw_slice(PATIENT, MIDDLE, size=2 * SIZE, pixel=PIXEL / 2)
    means = fine.reshape(SIZE, 2, SIZE, 2).mean((1, 3))
    body = segment(middle).body
    assert np.abs(means - middle)[body].mean() < 12
    assert np.corrcoef(means[body], middle[body])[0, 1] > 0.995


def test_drawn_twice_it_is_the_same_bit_for_bit(middle):
    lungs.trees.cache_clear()
    bones.ribs.cache_clear()
    np.testing.assert_array_equal(cut(MIDDLE), middle)


def test_patients_differ_in_size_shape_and_disease():
    people = [draw_patient((0, number)) for number in range(60)]
    for part in ("width", "depth", "fat", "lung_height", "lung_hu", "heart", "bone_hu"):
        values = [getattr(person, part) for person in people]
        assert np.std(values) > 0.05 * (max(map(abs, values)) - min(map(abs, values)))
        assert len(set(values)) == 60
    ill = [person.emphysema for person in people if person.emphysema]
    assert 12 < len(ill) < 40
    assert min(ill) > 0.03
    assert max(ill) < 0.36
    assert 15 < sum(person.breast > 0 for person in people) < 45


@pytest.mark.parametrize("number", range(3))
def test_everything_lies_in_every_field_of_view(number):
    patient = draw_patient((1, number))
    image = cut(0.5 * patient.lung_height, patient)
    assert min(scanner.field_of_view for scanner in SCANNERS) > 2 * REACH
    outside = np.hypot(AXIS, AXIS[:, None]) > REACH + PIXEL
    assert (image[outside] == -1000).all()
    assert outline(patient, AXIS, AXIS[:, None], 0.5 * patient.lung_height)[outside].min() > 0
    tissue = segment(image)
    assert tissue.lung.mean() > 0.08
    # The table is no part of the body.
    bottom = AXIS[bounding_box(tissue.body)[2] - 1]
    assert bottom == pytest.approx(patient.depth, abs=8)
    assert image[AXIS - bottom > 8].max() > -500


@pytest.mark.slow
def test_great_vessels_reach_the_roots_of_the_lungs():
    for side in (-1, 1):
        x, y, z = mediastinum.root(PATIENT, side, vein=False)
        assert side * x > 30
        assert hu_at(cut(z), x, y, 1.5) > -50
