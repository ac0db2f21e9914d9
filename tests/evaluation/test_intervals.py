import numpy as np
import pytest

from jaxharmo.evaluation.fid import frechet_distance
from jaxharmo.evaluation.intervals import frechet_interval


def patients_and_features(shift, width, seed=0):
    random = np.random.default_rng(seed)
    patients = np.repeat(np.arange(8), 5)
    scale = np.linspace(1, 0.1, width)
    rows = [
        (random.normal(size=(8, width))[patients] + random.normal(size=(40, width)) + move) * scale
        for move in (0, shift)
    ]
    return *rows, (patients, patients + 100)


@pytest.mark.parametrize("width", [12, 150])
def test_interval_of_patients_surrounds_the_distance(width):
    a, b, patients = patients_and_features(1.0, width)
    found = frechet_interval(a, b, patients, resamples=100)
    assert found.estimate == frechet_distance(a, b)
    assert 0 < found.low < found.estimate < found.high
    # Slices that repeat add nothing to what is known of the patients.
    twice = tuple(np.tile(names, 2) for names in patients)
    again = frechet_interval(np.tile(a, (2, 1)), np.tile(b, (2, 1)), twice, resamples=100)
    assert again.high - again.low == pytest.approx(found.high - found.low, rel=0.3)
    single = tuple(names * 0 for names in patients)
    assert np.isnan(frechet_interval(a, b, single).low)


def test_leading_components_stand_for_all():
    a, b, patients = patients_and_features(1.0, 150)
    kept = frechet_interval(a, b, patients, resamples=100)
    # A hundred features that do not vary change nothing.
    padded = [np.pad(rows, ((0, 0), (0, 100))) for rows in (a, b)]
    assert frechet_interval(*padded, patients, resamples=100) == pytest.approx(kept)
