"""Shapes in mm as signed distances, negative inside, and the grid on which they are painted.

x runs to the patient's left, y to the back, z to the feet; the middle of the image is at x = y = 0.
Distances are exact for capsules, and first-order approximations for the rest.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

Distance: TypeAlias = Float[np.ndarray, "..."]
Coordinate: TypeAlias = Float[np.ndarray, "..."] | float
Point: TypeAlias = tuple[float, float, float]


def ellipse(
    x: Coordinate, y: Coordinate, axes: tuple[Coordinate, Coordinate], power: Coordinate = 2.0
) -> Distance:
    """|x / a|ⁿ + |y / b|ⁿ = 1; the distance is that along the ray from the centre."""
    width, depth, power = _like(x, *axes, power)
    ratio = (np.abs(x / width) ** power + np.abs(y / depth) ** power) ** (1 / power)
    ratio = np.maximum(ratio, 1e-3)
    return np.hypot(x, y) * (1 - 1 / ratio)


def ellipsoid(
    x: Coordinate, y: Coordinate, z: Coordinate, centre: Point, axes: Point, turn: float = 0.0
) -> Distance:
    """An ellipsoid; ``turn`` rotates it in the axial plane, radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    x, y, z = x - centre[0], y - centre[1], z - centre[2]
    along, across = x * cos + y * sin, y * cos - x * sin
    parts = along / axes[0], across / axes[1], z / axes[2]
    ratio = np.maximum(np.sqrt(sum(part**2 for part in parts)), 1e-3)
    return np.sqrt(x**2 + y**2 + z**2) * (1 - 1 / ratio)


def _like(x: Coordinate, *values) -> Iterator[np.ndarray]:
    """Values in the precision of the coordinates: double precision takes twice as long."""
    return (np.asarray(value, np.asarray(x).dtype) for value in values)


def capsule(
    x: Coordinate,
    y: Coordinate,
    z: Coordinate,
    start: Float[np.ndarray, "3 ..."],
    end: Float[np.ndarray, "3 ..."],
    radius: Coordinate,
) -> Distance:
    """A round tube from ``start`` to ``end`` with round ends."""
    start, end, radius = _like(x, start, end, radius)
    axis = end - start
    squared = np.maximum(np.sum(axis**2, 0), 1e-6)
    x, y, z = x - start[0], y - start[1], z - start[2]
    share = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / squared, 0, 1)
    apart = (x - share * axis[0], y - share * axis[1], z - share * axis[2])
    return np.sqrt(apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2) - radius


def union(*shapes: Distance, blend: float = 0.0) -> Distance:
    """Of shapes; where two meet, the corner is filled up over ``blend`` mm.

    The polynomial minimum of Quilez (2013, "Smooth minimum").
    """

    def join(first: Distance, second: Distance) -> Distance:
        lower = np.minimum(first, second)
        if not blend:
            return lower
        gap = np.maximum(blend - np.abs(first - second), 0)
        return lower - gap**2 / (4 * blend)

    return functools.reduce(join, shapes)


class Tubes(NamedTuple):
    """Straight round pieces of vessels, airways or bones."""

    start: Float[np.ndarray, "n 3"]
    end: Float[np.ndarray, "n 3"]
    radius: Float[np.ndarray, "n"]

    def resized(self, change: float) -> "Tubes":
        """Wider by ``change`` mm at each side, or thinner; those that vanish are left out."""
        kept = self.radius + change > 0
        return Tubes(self.start[kept], self.end[kept], self.radius[kept] + change)


def polyline(points: Sequence[Point] | Float[np.ndarray, "n 3"], radius: float) -> Tubes:
    """A tube with bends at the points."""
    line = np.asarray(points, float)
    return Tubes(line[:-1], line[1:], np.full(len(line) - 1, radius))


def joined(parts: Iterable[Tubes]) -> Tubes:
    """All tubes as one set."""
    return Tubes(*map(np.concatenate, zip(*parts, strict=True)))


class Plane:
    """An axial image in HU at height ``z``, painted layer upon layer.

    A layer covers a pixel by the share of it that lies inside the shape, so edges are not jagged.
    """

    def __init__(self, size: int, pixel: float, z: float, step: float):
        """``size`` pixels of ``pixel`` mm a side; planes are ``step`` mm apart."""
        axis = ((np.arange(size) - (size - 1) / 2) * pixel).astype(np.float32)
        self.x, self.y, self.z = axis[None, :], axis[:, None], z
        self.pixel, self.step = pixel, step
        self.hu = np.full((size, size), -1000.0, np.float32)

    def paint(self, shape: Distance, hu: Coordinate) -> None:
        """Fill a shape."""
        self.cover(np.clip(0.5 - shape / self.pixel, 0, 1), hu)

    def cover(self, share: Float[np.ndarray, "h w"], hu: Coordinate) -> None:
        """Mix ``hu`` in by the share of each pixel."""
        self.hu += share * (hu - self.hu)

    def paint_sheet(
        self, distance: Distance, thickness: float, hu: float, within: Float[np.ndarray, "h w"]
    ) -> None:
        """A sheet where ``distance`` is 0, in the share ``within`` of each pixel.

        A sheet thinner than the grid becomes as wide as a pixel and as much less dense.
        """
        width = max(thickness, self.pixel)
        share = np.clip(0.5 - (np.abs(distance) - width / 2) / self.pixel, 0, 1)
        self.cover(share * within * (thickness / width), hu)

    def paint_tubes(self, tubes: Tubes, hu: Coordinate, squeeze: float = 1.0) -> None:
        """Fill tubes; with ``squeeze`` below 1 their sections are longer along z.

        A tube thinner than the grid becomes as wide as the grid and as much less dense: its volume
        is kept, and it is not lost between two planes.
        """
        squeezed = np.array([1.0, 1.0, squeeze])
        start, end = tubes.start * squeezed, tubes.end * squeezed
        z = self.z * squeeze
        radius = np.maximum(tubes.radius, 0.5 * max(self.pixel, self.step * squeeze))
        density = (tubes.radius / radius) ** 2
        reach = radius + self.pixel
        near = (np.minimum(start[:, 2], end[:, 2]) - reach < z) & (
            z < np.maximum(start[:, 2], end[:, 2]) + reach
        )
        parts = (part[near] for part in (start, end, radius, density, reach))
        share = np.zeros(self.hu.size, np.float32)
        for indices, values in self._boxes(z, *parts):
            np.maximum.at(share, indices, values)
        self.cover(share.reshape(self.hu.shape), hu)

    def _boxes(self, z, start, end, radius, density, reach):
        """Pixels around each tube where it crosses the plane, and how far it covers them."""
        size, axis = len(self.hu), end - start
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = (z + np.array([-1, 1])[:, None] * reach - start[:, 2]) / axis[:, 2]
        # A tube along the plane is in reach from end to end.
        ends = np.where(np.isfinite(ends), ends, np.array([0, 1])[:, None])
        ends = np.clip(np.sort(ends, 0), 0, 1)
        corners = start[:, :2] + ends[..., None] * axis[:, :2]
        centre, half = corners.mean(0), np.abs(corners[1] - corners[0]).max(1) / 2 + reach
        sides = 2 ** np.ceil(np.log2(2 * half / self.pixel + 2)).astype(int)
        for side in np.unique(sides):
            own = np.flatnonzero(sides == side)
            for some in np.array_split(own, -(-own.size * side**2 // 2_000_000)):
                corner = centre[some] / self.pixel + (size - 1) / 2 - (side - 1) / 2
                pixels = np.rint(corner).astype(int)[..., None] + np.arange(side)
                column, row = pixels[:, 0, None, :], pixels[:, 1, :, None]
                x, y = ((each - (size - 1) / 2) * np.float32(self.pixel) for each in (column, row))
                first, last = (each[some].T[..., None, None] for each in (start, end))
                wide = radius[some, None, None]
                shape = capsule(x, y, z, first, last, wide)
                share = np.clip(0.5 - shape / self.pixel, 0, 1) * density[some, None, None]
                seen = (share > 0) & (column >= 0) & (column < size) & (row >= 0) & (row < size)
                yield (row * size + column)[seen], share[seen].astype(np.float32)
