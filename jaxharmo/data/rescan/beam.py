"""A beam of many energies: attenuation of water and bone, and the correction for water."""

import functools

import numpy as np
from jaxtyping import Float

Values = Float[np.ndarray, "..."]

REFERENCE_ENERGY = 70.0
"""keV; the object's HU are taken to be true at it."""
CORTICAL = 2.59
"""Attenuation of cortical bone (1.92 g/cm³) over that of water at the reference energy."""
LOWEST_KVP, HIGHEST_KVP = 60.0, 150.0

# Mass attenuation coefficients, cm²/g, by energy, keV (Hubbell & Seltzer, NISTIR 5632, 2004; water,
# cortical bone of ICRU-44, aluminium).
_ENERGY = np.array([20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0])
_WATER = np.array([0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505])
_BONE = np.array([4.001, 1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480])
_ALUMINIUM = np.array([3.441, 1.128, 0.5685, 0.3681, 0.2778, 0.2018, 0.1704, 0.1378])
_FILTER = 2.699 * 1.0
"""g/cm²: 10 mm of aluminium, for tube, filter and the thin part of the bowtie."""
_NODES = 8
_LONGEST = 700.0
"""Water that the correction is fitted for, mm."""
_DEGREE = 6


@functools.lru_cache(32)
def spectrum(kvp: float) -> tuple[Values, Values, Values]:
    """Shares of the signal by energy (sum 1), and attenuation of water and of bone there.

    Attenuation is per mm of water, and per mm of what attenuates as water at the reference energy.
    Kramers' law (1923), filtered, for a detector that adds up energies.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    energy = 25 + (kvp - 25) * (nodes + 1) / 2
    kramers = (kvp / energy - 1) * np.exp(-_FILTER * _at(_ALUMINIUM, energy))
    shares = weights * kramers * energy
    water = _at(_WATER, energy) / 10
    bone = _at(_BONE, energy) * water_attenuation() / _at(_BONE, np.array(REFERENCE_ENERGY))
    return shares / shares.sum(), water, bone


def water_attenuation() -> float:
    """Of water at the reference energy, 1/mm."""
    return float(_at(_WATER, np.array(REFERENCE_ENERGY))) / 10


@functools.lru_cache(32)
def water_correction(kvp: float) -> Values:
    """Coefficients c of Σ c_i l^(i+1): mm of water behind a log attenuation l.

    Fitted to water alone, as scanners do (Herman 1979, doi 10.1088/0031-9155/24/1/008); behind bone
    it errs, which leaves dark bands between bones.
    """
    shares, water, _ = spectrum(kvp)
    lengths = np.linspace(1, _LONGEST, 700)
    logs = -np.log(np.exp(-np.outer(lengths, water)) @ shares)
    powers = logs[:, None] ** np.arange(1, _DEGREE + 1)
    # Weighted by 1 / length: as many HU of error in a thin body as in a thick one.
    return np.linalg.lstsq(powers / lengths[:, None], np.ones(len(lengths)), rcond=None)[0]


def _at(table: Values, energy: Values) -> Values:
    return np.exp(np.interp(np.log(energy), np.log(_ENERGY), np.log(table)))
