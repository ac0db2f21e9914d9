"""What harmonization did to a series, in figures: shifts, noise, structure, texture, flicker."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from jaxharmo.harmonize.textures import FAR, Texture, Textures, deep, robust_sd, texture
from jaxharmo.ops.intensity import CT_FLOOR
from jaxharmo.ops.tissue import SOFT_TISSUE, Image, Mask, segment

SLICES = 8
"""Slices of a series, evenly spread, in which tissue is segmented; the rest is only averaged."""
_NOISE_WIDTH = 2.0
_STRUCTURE_WIDTH = 2.0
"""Widths of Gaussians, pixels: noise is what the first takes away; structure survives the other."""
_WINDOW = (CT_FLOOR, 400.0)


class _Look(NamedTuple):
    """Figures of one slice that was looked at closely."""

    shifts: dict[str, float]
    noise: tuple[float, float]
    structure: float
    before: Texture
    after: Texture


class Quality:
    """Collects the figures of a series slice by slice; slices may come from several threads."""

    def __init__(self, count: int, textures: Textures | None):
        self._textures = textures
        self._close = set(np.linspace(0, count - 1, SLICES).round().astype(int).tolist())
        self._looks: dict[int, _Look] = {}
        self._shift = np.full(count, math.nan)
        self._cut = np.zeros(count, np.int64)
        self._pixels = np.zeros(count, np.int64)

    def add(
        self, number: int, before: Image, after: Image, padding: Bool[np.ndarray, "h w"]
    ) -> None:
        """Measure slice ``number``: HU before and after, and where it is padding."""
        low, high = SOFT_TISSUE
        soft = (before >= low) & (before <= high)
        self._shift[number] = _mean(after - before, soft)
        self._cut[number] = ((after <= CT_FLOOR) & (before > CT_FLOOR)).sum()
        self._pixels[number] = before.size
        if number in self._close:
            self._looks[number] = self._look(before, after, padding)

    def _look(self, before: Image, after: Image, padding: Mask) -> _Look:
        tissue = segment(before)
        window = self._textures.window if self._textures else _WINDOW
        near = ndimage.binary_dilation(tissue.body, iterations=3)
        air = np.logical_not(near) & ~padding & (before > CT_FLOOR)
        change = after - before
        return _Look(
            shifts={
                "lung": _mean(change, tissue.core),
                "soft tissue": _mean(change, tissue.soft),
                "air": _mean(change, air),
            },
            noise=(_noise(before, deep(tissue)), _noise(after, deep(tissue))),
            structure=_structure(before, after, tissue.body),
            before=texture(before, tissue, window),
            after=texture(after, tissue, window),
        )

    def summary(self, to: str) -> dict[str, Any]:
        """The figures as they stand in the sidecar; None where one has no meaning.

        ``shift_hu``: mean HU after − before, by tissue (mean over the slices that show it).
        ``noise_hu``: robust σ of what a Gaussian of 2 pixels takes away, in soft tissue off lung
        and skin, before and after. ``structure``: correlation of the gradient magnitudes before
        and after, both at a scale of 2 pixels, in the body: 1 where every edge stayed.
        ``flicker_hu``: largest difference between neighbouring slices of the mean change in soft
        tissue. ``cut``: share of voxels that the floor of the CT scale cut. ``texture``: distance
        to the nearest training domain before, and to the target before and after, in standard
        deviations.
        """
        looks = [self._looks[number] for number in sorted(self._looks)]
        steps = np.abs(np.diff(self._shift))
        figures: dict[str, Any] = {
            "slices_measured": len(looks),
            "shift_hu": {
                name: _over([look.shifts[name] for look in looks])
                for name in ("lung", "soft tissue", "air")
            },
            "noise_hu": {
                "before": _over([look.noise[0] for look in looks]),
                "after": _over([look.noise[1] for look in looks]),
            },
            "structure": _over([look.structure for look in looks], 4),
            "flicker_hu": _figure(np.nanmax(steps)) if np.isfinite(steps).any() else None,
            "cut": round(float(self._cut.sum() / max(self._pixels.sum(), 1)), 6),
        }
        if self._textures:
            before, after = [look.before for look in looks], [look.after for look in looks]
            nearest, distance = self._textures.nearest(before)
            figures["texture"] = {
                "nearest": nearest if math.isfinite(distance) else None,
                "distance": _figure(distance),
                "to_target": {
                    "before": _figure(self._textures.distance(before, to)),
                    "after": _figure(self._textures.distance(after, to)),
                },
            }
        return figures


def is_far(summary: dict[str, Any]) -> bool:
    """Whether the input's texture lies far from that of every training domain."""
    distance = summary.get("texture", {}).get("distance")
    return distance is not None and distance > FAR


def as_lines(summary: dict[str, Any]) -> list[str]:
    """The summary for people."""
    shifts = ", ".join(f"{name} {_signed(hu)}" for name, hu in summary["shift_hu"].items())
    noise, structure = summary["noise_hu"], summary["structure"]
    lines = [
        f"  mean shift, HU: {shifts}",
        f"  noise in soft tissue, HU: {_text(noise['before'])} → {_text(noise['after'])}; "
        f"structure kept: {_text(structure)}; flicker along z, HU: {_text(summary['flicker_hu'])}",
    ]
    if "texture" in summary:
        target = summary["texture"]["to_target"]
        lines.append(
            f"  texture, distance to the target in SD: {_text(target['before'])} → "
            f"{_text(target['after'])}"
        )
    return lines


def _mean(values: Float[np.ndarray, "h w"], mask: Mask) -> float:
    return float(values[mask].mean(dtype=np.float64)) if mask.any() else math.nan


def _noise(hu: Image, mask: Mask) -> float:
    fine = hu - ndimage.gaussian_filter(hu, _NOISE_WIDTH)
    return robust_sd(fine[mask]) if mask.any() else math.nan


def _structure(before: Image, after: Image, body: Mask) -> float:
    """Pearson's correlation of gradient magnitudes; NaN where there is no edge to compare."""
    slopes = np.stack(
        [
            ndimage.gaussian_gradient_magnitude(
                np.clip(hu, *_WINDOW).astype(np.float32), _STRUCTURE_WIDTH
            )[body]
            for hu in (before, after)
        ]
    ).astype(np.float64)
    centred = slopes - slopes.mean(1, keepdims=True) if slopes.size else slopes
    norms = np.sqrt((centred**2).sum(1))
    return float((centred[0] * centred[1]).sum() / norms.prod()) if norms.all() else math.nan


def _over(values: list[float], digits: int = 2) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return _figure(float(np.mean(known)), digits) if known else None


def _figure(value: float, digits: int = 2) -> float | None:
    return round(float(value), digits) + 0.0 if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "—" if value is None else f"{value:g}"


def _signed(value: float | None) -> str:
    return "—" if value is None else f"{value:+.1f}"
