"""Random fields: power law, mean over a slice, continuity from slice to slice."""

import itertools

import numpy as np
import pytest

from jaxharmo.data.phantom.fractal import Fractal, sample
from jaxharmo.data.phantom.lungs import GAMMA, POWER

PERIOD = 224.0
SEEDS = range(4)


def power_law(slabs):
    """Exponent and power at 1 lp/cm, mm², from 0.5 to 3.5 lp/cm."""
    count = len(slabs[0])
    step = PERIOD / count
    rows = np.fft.fftfreq(count, step / 10)
    frequency = np.hypot(rows[:, None], rows)
    power = np.mean([np.abs(np.fft.fft2(slab)) ** 2 for slab in slabs], 0) * (step / count) ** 2
    edges = np.arange(0.5, 3.6, 0.5)
    rings = [(low <= frequency) & (frequency < high) for low, high in itertools.pairwise(edges)]
    middles = [np.log(frequency[ring]).mean() for ring in rings]
    slope, level = np.polyfit(middles, [np.log(power[ring].mean()) for ring in rings], 1)
    return -slope, np.exp(level)


@pytest.mark.parametrize("gamma", [1.4, 2.2, 3.0])
def test_a_thin_slice_has_one_less_than_space(gamma):
    exponent, level = power_law([Fractal((seed,), gamma).slab(30.0, 0.0) for seed in SEEDS])
    assert exponent == pytest.approx(gamma - 1, abs=0.12)
    assert level == pytest.approx(1, rel=0.12)


def test_parenchyma_has_the_power_law_of_real_lung():
    """What was measured on real slices of 5 mm: f^-1.1 to f^-1.2, 2,700 to 4,900 at 1 lp/cm."""
    exponent, level = power_law([Fractal((seed,), GAMMA).slab(30.0, 5.0) for seed in SEEDS])
    assert exponent == pytest.approx(1.15, abs=0.15)
    assert 2700 < POWER * level < 4900


@pytest.mark.slow
def test_a_thick_slice_is_the_mean_of_thin_ones():
    field = Fractal((5,), 2.6)
    middles = 30.0 + (np.arange(40) + 0.5) / 8 - 2.5
    mean = np.mean([field.slab(z, 0.0) for z in middles], 0)
    assert np.abs(mean - field.slab(30.0, 5.0)).std() < 0.03 * mean.std()


def test_neighbours_go_on_and_patients_differ():
    field = Fractal((5,), GAMMA)
    first = field.slab(30.0, 5.0).ravel()
    alike = [np.corrcoef(first, field.slab(30.0 + d, 5.0).ravel())[0, 1] for d in (0, 1, 3, 20)]
    assert alike[0] == pytest.approx(1)
    assert (np.diff(alike) < 0).all()
    assert alike[1] > 0.8
    assert abs(alike[3]) < 0.1
    assert abs(np.corrcoef(first, Fractal((6,), GAMMA).slab(30.0, 5.0).ravel())[0, 1]) < 0.05


def test_waves_longer_than_the_coarsest_are_left_out():
    """56 mm go into the period four times, 37 mm six times."""
    spectrum = np.abs(np.fft.fft2(Fractal((5,), 3.0, 40.0).slab(0.0, 0.0)))
    assert spectrum[:4, :4].max() < 1e-3 * spectrum[0, 6]


def test_a_field_does_not_depend_on_the_grid_it_is_sampled_on():
    slab = Fractal((5,), 3.0).slab(0.0, 5.0)
    coarse, fine = (np.arange(-60, 60, step, dtype=np.float32) for step in (1.0, 0.5))
    found = [sample(slab, axis[None], axis[:, None]) for axis in (coarse, fine)]
    np.testing.assert_allclose(found[1][::2, ::2], found[0], atol=1e-4 * slab.std())
