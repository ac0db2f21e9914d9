"""Whether two evaluations found the same."""

import math


def assert_same_figures(found, expected, where="metrics"):
    """Of two metrics.json, but for the seconds."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name in expected.keys() - {"seconds"}:
            assert_same_figures(found[name], expected[name], f"{where}, {name}")
    elif isinstance(expected, list):
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same_figures(one, other, f"{where}, {number}")
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-6), where
    else:
        assert found == expected, where
