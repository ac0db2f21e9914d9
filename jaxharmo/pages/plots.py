"""Plots as inline SVG: sharp at any size, no script, no library in the page."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxharmo.pages.pictures import BLUE, RED

GOOD, BAD, EARLIER = "#2f8f5b", "#b04a3a", "#8a94a3"
"""Colours of a change for the better, one for the worse, and of the state before it."""
_INK, _SOFT, _LINE = "#1b2430", "#556272", "#dde3ea"
_DEEP = (31, 95, 168)
"""Red, green and blue of the largest value."""
_WIDTH = 380


class Dot(NamedTuple):
    """A value with its interval, in a row of a dot plot."""

    label: str
    hue: str
    value: float
    low: float | None = None
    high: float | None = None


class Curve(NamedTuple):
    """A line of a plot; values that are not finite are left out."""

    label: str
    hue: str
    x: np.ndarray
    y: np.ndarray
    dashed: bool = False


def dot_plot(title: str, unit: str, dots: Sequence[Dot], floor: float | None = None) -> str:
    """A row a method: dot, 95 % interval, value; a dashed line at ``floor``."""
    dots = [dot for dot in dots if math.isfinite(dot.value)]
    if not dots:
        return ""
    ends = [v for dot in dots for v in (dot.value, dot.low, dot.high) if v is not None]
    ends += [0.0] + ([floor] if floor is not None else [])
    low, high = min(ends), max(ends)
    left, right, row = 150, _WIDTH - 58, 22
    height = row * len(dots) + 30

    def place(value: float) -> float:
        return left + (right - left) * (value - low) / ((high - low) or 1)

    parts = [_line(place(0), 4, place(0), height - 24, _LINE)]
    if floor is not None:
        parts.append(_line(place(floor), 4, place(floor), height - 24, _SOFT, "4 3"))
    for index, dot in enumerate(dots):
        y, hue = 16 + row * index, dot.hue
        parts.append(_text(left - 8, y + 4, dot.label, "end"))
        if dot.low is not None and dot.high is not None:
            parts.append(_line(place(dot.low), y, place(dot.high), y, hue, width=2.5))
        parts.append(f'<circle cx="{place(dot.value):.1f}" cy="{y}" r="5" fill="{hue}"/>')
        parts.append(_text(_WIDTH - 2, y + 4, _short(dot.value), "end", _SOFT))
    parts.append(_text(left, height - 6, _short(low), "start", _SOFT))
    parts.append(_text(right, height - 6, _short(high), "end", _SOFT))
    return _plot(title + (f" ({unit})" if unit else ""), _WIDTH, height, parts)


def curve_plot(title: str, x_title: str, curves: Sequence[Curve], *, logarithmic: bool) -> str:
    """Lines over a common axis, with a legend below."""
    kept = []
    for curve in curves:
        x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
        usable = np.isfinite(y) & ((y > 0) if logarithmic else True)
        if usable.sum() > 1:
            kept.append((curve, x[usable], np.log10(y[usable]) if logarithmic else y[usable]))
    if not kept:
        return ""
    x_low, x_high = min(x.min() for _, x, _ in kept), max(x.max() for _, x, _ in kept)
    low, high = min(y.min() for *_, y in kept), max(y.max() for *_, y in kept)
    left, right, top, bottom = 52, _WIDTH - 22, 8, 200
    across = lambda x: left + (right - left) * (x - x_low) / ((x_high - x_low) or 1)  # noqa: E731
    down = lambda y: bottom - (bottom - top) * (y - low) / ((high - low) or 1)  # noqa: E731
    parts = [_line(left, bottom, right, bottom, _SOFT), _line(left, top, left, bottom, _SOFT)]
    ticks = np.linspace(low, high, 4)
    if logarithmic and math.floor(high) > math.ceil(low):
        ticks = np.unique(np.linspace(math.ceil(low), math.floor(high), 4).round())
    for tick in ticks.tolist():
        parts.append(_line(left, down(tick), right, down(tick), _LINE))
        value = 10**tick if logarithmic else tick
        parts.append(_text(left - 6, down(tick) + 4, _short(value), "end", _SOFT))
    for tick in np.linspace(x_low, x_high, 5):
        parts.append(_text(across(tick), bottom + 16, _short(tick), "middle", _SOFT))
    parts.append(_text((left + right) / 2, bottom + 33, x_title, "middle", _SOFT))
    for curve, x, y in kept:
        points = " ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in zip(x, y, strict=True))
        dashes = ' stroke-dasharray="5 3"' if curve.dashed else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{curve.hue}" '
            f'stroke-width="2"{dashes}/>'
        )
    legend = bottom + 54
    for index, (curve, *_) in enumerate(kept):
        x, y = 12 + (index % 2) * 186, legend + 18 * (index // 2)
        parts.append(_line(x, y - 4, x + 18, y - 4, curve.hue, width=3))
        parts.append(_text(x + 24, y, curve.label, "start"))
    height = legend + 18 * ((len(kept) + 1) // 2)
    return _plot(title, _WIDTH, height, parts)


def change_plot(title: str, names: Sequence[str], before: Sequence[float], after: Sequence[float],
                x_title: str) -> str:  # fmt: skip
    """A row a name: a hollow dot before, a full one after, and the way between."""
    ends = [0.0, *before, *after]
    low, high = min(ends), max(ends)
    left, right, row = 206, _WIDTH + 130, 18
    height = row * len(names) + 40
    place = lambda value: left + (right - left) * (value - low) / ((high - low) or 1)  # noqa: E731
    parts = [_line(place(0), 2, place(0), height - 34, _SOFT)]
    for index, (name, first, second) in enumerate(zip(names, before, after, strict=True)):
        y = 12 + row * index
        nearer = abs(second) <= abs(first)
        hue = GOOD if nearer else BAD
        parts.append(_text(left - 8, y + 4, name, "end", size=11))
        parts.append(_line(place(first), y, place(second), y, hue, width=2))
        parts.append(
            f'<circle cx="{place(first):.1f}" cy="{y}" r="4" fill="#fff" '
            f'stroke="{EARLIER}" stroke-width="2"/>'
        )
        parts.append(f'<circle cx="{place(second):.1f}" cy="{y}" r="4.5" fill="{hue}"/>')
    parts.append(_text(left, height - 18, _short(low), "start", _SOFT))
    parts.append(_text(right, height - 18, _short(high), "end", _SOFT))
    parts.append(_text((left + right) / 2, height - 3, x_title, "middle", _SOFT))
    return _plot(title, right + 10, height, parts)


def grid_plot(title: str, rows: Sequence[str], columns: Sequence[str], values: np.ndarray) -> str:
    """A grid of signed numbers: blue below zero, red above."""
    cell, left, top = 52, 40, 22
    top_value = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    parts = [
        _text(left + cell * (j + 0.5), 14, name, "middle", _SOFT) for j, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        parts.append(_text(left - 6, top + cell * i * 0.62 + 20, name, "end", _SOFT))
        for j in range(len(columns)):
            value = float(values[i, j])
            share = 0 if not math.isfinite(value) else min(abs(value) / (top_value or 1), 1)
            end = RED if value > 0 else BLUE
            fill = ",".join(str(round(255 - (255 - channel) * 0.75 * share)) for channel in end)
            x, y = left + cell * j, top + cell * i * 0.62
            parts.append(
                f'<rect x="{x}" y="{y:.1f}" width="{cell - 2}" height="{cell * 0.62 - 2:.1f}" '
                f'rx="3" fill="rgb({fill})"/>'
            )
            shade = "#fff" if share > 0.6 else _INK
            parts.append(_text(x + cell / 2 - 1, y + 20, _signed(value), "middle", shade))
    width, height = left + cell * len(columns), top + cell * 0.62 * len(rows)
    return _plot(title, width, height, parts)


def heat_plot(title: str, rows: Sequence[str], columns: Sequence[str], values: np.ndarray) -> str:
    """A grid of numbers from zero on: the larger, the darker."""
    cell, row, left, top = 36, 22, 8 + 6.6 * max(map(len, rows)), 20
    most = float(values.max()) or 1.0
    parts = [
        _text(left + cell * (j + 0.5), 13, name, "middle", _SOFT, 10)
        for j, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        y = top + row * i
        parts.append(_text(left - 6, y + 15, name, "end", _SOFT, 11))
        for j in range(len(columns)):
            share = float(values[i, j]) / most
            fill = ",".join(str(round(255 - (255 - end) * share)) for end in _DEEP)
            parts.append(
                f'<rect x="{left + cell * j:.1f}" y="{y}" width="{cell - 2}" height="{row - 2}" '
                f'rx="3" fill="rgb({fill})"/>'
            )
            shade = "#fff" if share > 0.55 else _INK
            text = f"{values[i, j]:.2f}"
            parts.append(_text(left + cell * (j + 0.5) - 1, y + 14, text, "middle", shade, 10))
    return _plot(title, left + cell * len(columns), top + row * len(rows), parts)


def _plot(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    text = html.escape(title)
    return (
        f'<figure class="plot"><figcaption>{text}</figcaption><svg role="img" aria-label="{text}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _text(x: float, y: float, text: str, anchor: str, hue: str = _INK, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{hue}" '
        f'text-anchor="{anchor}">{html.escape(text)}</text>'
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, hue: str, dashes: str = "", width: float = 1
) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{hue}" '
        f'stroke-width="{width}"{dashed}/>'
    )


def _short(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 or value == round(value) else 1 if size >= 10 else 2
    large, small = size >= 1e5, 0 < size < 1e-3
    text = f"{value:.0e}" if large or small else f"{value:z.{digits if size >= 0.1 else 4}f}"
    return ("0" if value == 0 else text).replace("-", "−")


def _signed(value: float) -> str:
    return "—" if not math.isfinite(value) else f"{value:+.0f}".replace("-", "−")
