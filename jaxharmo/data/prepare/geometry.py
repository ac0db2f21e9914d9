"""What is odd about the slices of a series: tilt, gaps, doubles, mixed thickness."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from jaxharmo.data.prepare.series import Series

MIN_TILT = 0.5
"""Degrees between couch movement and slice normal from which a warning is given."""
_GAP = 1.5
_UNEVEN = 0.05
"""A step larger than 1.5 times the usual one is a gap; one that differs by 5 % is uneven."""


def oddities(series: Series) -> Iterator[str]:
    """Every oddity in words, without what a header holds beside lengths and angles."""
    angle = tilt(series)
    if angle >= MIN_TILT:
        yield f"gantry tilted by {angle:.1f}°: slices are used as they are"
    doubles = sum(count - 1 for count in Counter(series.positions).values())
    if doubles:
        yield f"{doubles} slices at the position of another"
    positions = np.unique(series.positions)
    if len(positions) > 2:
        steps = np.diff(positions)
        usual = float(np.median(steps))
        gaps = steps[steps > _GAP * usual]
        if gaps.size:
            missing = int(np.rint(gaps / usual - 1).sum())
            yield (
                f"{gaps.size} gaps of up to {gaps.max():g} mm, {usual:g} mm mostly: "
                f"about {missing} slices missing"
            )
        rest = steps[steps <= _GAP * usual]
        if np.abs(rest - usual).max() > _UNEVEN * usual:
            yield f"slices {rest.min():g} to {rest.max():g} mm apart"
    thicknesses = {item.factors.slice_thickness or 0.0 for item in series.slices} - {0.0}
    if len(thicknesses) > 1:
        yield f"slices {min(thicknesses):g} to {max(thicknesses):g} mm thick"


def tilt(series: Series) -> float:
    """Angle between the way from the first to the last slice and their normal, degrees."""
    first, last = series.slices[0], series.slices[-1]
    along = last.position - first.position
    if along <= 0:
        return 0.0
    across = float(np.hypot(*np.subtract(last.corner, first.corner)))
    return float(np.degrees(np.arctan2(across, along)))
