"""Trees of vessels and airways that fill the lungs: branches halve the volume they supply.

Points are spread over each lobe. A branch heads for the middle of its points and ends on the way;
there a plane through it divides the points among two branches, down to single points (Tawhai et al.
2000, "Generation of an anatomically based three-dimensional model of the conducting airways").
Radii obey Murray's law (1926): the cube of a branch's radius is the sum of its daughters' cubes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxharmo.data.phantom.shapes import Tubes

_REACH = 0.4
"""How far a branch goes towards the middle of its points (Tawhai et al. 2000)."""
_UNEQUAL = 0.2
"""Largest deviation from one half of a daughter's share of the points."""

Points = Float[np.ndarray, "n 3"]


class Tree(NamedTuple):
    """Branches, each after its parent."""

    tubes: Tubes
    parent: Int[np.ndarray, "n"]
    """Number of the branch that a branch begins at the end of; -1 at the root."""
    supplied: Int[np.ndarray, "n"]
    """Points behind each branch."""


def grow(
    points: Points, groups: Int[np.ndarray, "n"], root: Float[np.ndarray, "3"], twig: float,
    random: np.random.Generator,
) -> Tree:  # fmt: skip
    """A tree from ``root`` to all points; the first branches go one to each of the ``groups``.

    ``twig`` is the radius of the branches that end at a point, mm.
    """
    label = np.unique(groups, return_inverse=True)[1]
    count = int(label.max()) + 1
    start, parent = np.repeat(root[None], count, 0), np.full(count, -1)
    starts, ends, parents, supplied = [], [], [], []
    made = 0
    while count:
        size = np.bincount(label, minlength=count)
        middle = _sums(points, label, count) / size[:, None]
        last = size == 1
        end = np.where(last[:, None], middle, start + _REACH * (middle - start))
        starts.append(start)
        ends.append(end)
        parents.append(parent)
        supplied.append(size)
        number = made + np.arange(count)
        made += count
        kept = ~last[label]
        points, label = points[kept], (np.cumsum(~last) - 1)[label[kept]]
        start, middle, size, number, old = (
            each[~last] for each in (end, middle, size, number, start)
        )
        label = _divide(points, label, middle, start - old, size, random)
        count = 2 * len(size)
        start, parent = np.repeat(start, 2, 0), np.repeat(number, 2)
    flows = np.concatenate(supplied)
    tubes = Tubes(np.concatenate(starts), np.concatenate(ends), twig * np.cbrt(flows))
    return Tree(tubes, np.concatenate(parents), flows)


def _sums(values: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    sums = [np.bincount(label, column, count) for column in flat.T]
    return np.stack(sums, 1).reshape(count, *values.shape[1:])


def _divide(points, label, middle, direction, size, random) -> np.ndarray:
    """Labels 2 i and 2 i + 1 of the two halves of group i, about at its longest extent."""
    apart = points - middle[label]
    spread = _sums(apart[:, :, None] * apart[:, None, :], label, len(size))
    along = direction / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    across = np.eye(3) - along[:, :, None] * along[:, None, :]
    # The plane between the halves holds the branch.
    axis = np.linalg.eigh(across @ spread @ across)[1][:, :, -1]
    place = np.sum(apart * axis[label], 1)
    order = np.lexsort((place, label))
    rank = np.empty(len(label), int)
    rank[order] = np.arange(len(label)) - np.repeat(np.cumsum(size) - size, size)
    share = 0.5 + random.uniform(-_UNEQUAL, _UNEQUAL, len(size))
    first = np.clip(np.rint(share * size), 1, size - 1)
    return 2 * label + (rank >= first[label])


def companions(tree: Tree, least: float, direction: Float[np.ndarray, "3"]) -> Tubes:
    """Airways beside the branches of at least the radius ``least``, and as wide as they are.

    ``direction`` is the side of the artery on which they run.
    """
    tubes = tree.tubes
    shift = 2.1 * tubes.radius[:, None] * direction
    before = np.where(tree.parent[:, None] < 0, shift, shift[tree.parent])
    kept = tubes.radius >= least
    return Tubes((tubes.start + before)[kept], (tubes.end + shift)[kept], tubes.radius[kept])
