"""Training on pairs, for some minutes: what supervision reaches, as a ceiling.

The loss is the mean square error in the window of the evaluation. The patients are not those of the
evaluation.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Int16, Real

from jaxharmo.benchmark.network import NetworkConfig, Params, apply_network, first_params
from jaxharmo.config import DataConfig
from jaxharmo.console import Progress, message
from jaxharmo.data.manifest import FILE_NAME, Domain, read_manifest
from jaxharmo.data.pipeline import crop
from jaxharmo.data.records import Slice
from jaxharmo.data.shards import SliceSource
from jaxharmo.errors import InputError
from jaxharmo.evaluation.slices import DomainSlices
from jaxharmo.files import make_folder, write_bytes
from jaxharmo.ops.intensity import Window

Direction = tuple[str, str]
"""Names of source and target."""


class Pair(NamedTuple):
    """Numbers of two slices of one split that show the same on one grid."""

    direction: int
    source: int
    target: int


class Batch(NamedTuple):
    """Crops of both sides of some pairs, HU."""

    source: Int16[np.ndarray, "b h w"]
    target: Int16[np.ndarray, "b h w"]
    direction: Int[np.ndarray, "b"]


class PairedSlices:
    """The pairs of one split of a shard set, in all directions between its domains."""

    def __init__(self, shards: Path, split: str):
        domains = read_manifest(shards).domains
        self._slices = [SliceSource(shards, split, domain) for domain in domains]
        self.directions: tuple[Direction, ...] = tuple(
            (a.name, b.name) for a, b in itertools.permutations(domains, 2)
        )
        self._ends = list(itertools.permutations(range(len(domains)), 2))
        self.pairs = list(_pairs(shards, split, domains))
        if not self.pairs:
            raise InputError(
                f"{shards}: no pairs in the split '{split}'; take shards that have slices there"
            )

    def images(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Both slices, HU."""
        source, target = (self._item(pair, end).pixels.astype(np.float32) for end in (0, 1))
        return source, target

    def batch(self, number: int, count: int, data: DataConfig, seed: int) -> Batch:
        """Crops of random pairs; a function of the seed and the number alone."""
        random = np.random.default_rng((seed, number))
        picked = [self.pairs[index] for index in random.integers(len(self.pairs), size=count)]
        places = random.integers(2**31, size=count).tolist()
        source, target = (
            np.stack(
                [
                    crop(self._item(pair, end), data, np.random.default_rng(place))
                    for pair, place in zip(picked, places, strict=True)
                ]
            )
            for end in (0, 1)
        )
        return Batch(source, target, np.array([pair.direction for pair in picked]))

    def _item(self, pair: Pair, end: int) -> Slice:
        return self._slices[self._ends[pair.direction][end]][pair[1 + end]]


def _pairs(shards: Path, split: str, domains: tuple[Domain, ...]) -> Iterator[Pair]:
    slices = [DomainSlices(shards, split, domain) for domain in domains]
    for direction, (source, target) in enumerate(itertools.permutations(slices, 2)):
        for number in range(len(source)):
            twin = target.twin(source, number)
            if twin is not None:
                yield Pair(direction, number, twin)


class PairedNetwork:
    """The trained network as a function of slices."""

    def __init__(
        self,
        config: NetworkConfig,
        window: Window,
        directions: tuple[Direction, ...],
        params: Params,
    ):
        self.directions = directions
        self._apply = jax.jit(partial(apply_network, config, params, window=window))

    def __call__(
        self, hu: Real[np.ndarray, "n h w"], of: str, to: str
    ) -> Float[np.ndarray, "n h w"]:
        """Slices of the domain ``of`` as those of ``to``, HU."""
        direction = np.array([self.directions.index((of, to))])
        # One by one: a compilation for each number of slices would take longer.
        return np.concatenate([np.asarray(self._apply(each[None], direction)) for each in hu])


def paired_network(
    shards: Path,
    folder: Path,
    config: NetworkConfig,
    window: Window,
    judged: Window,
    seed: int,
    report: Callable[[str], object] = message,
) -> tuple[PairedNetwork, dict[str, float]]:
    """The network of a seed, from ``folder`` or trained and kept there, and its validation.

    ``window`` is what it sees, ``judged`` the window in which errors count, HU. Validation:
    RMSE in HU ``before`` and ``after``, roots of means over all pairs of the validation split.
    """
    what = json.dumps([dataclasses.asdict(config), window, judged, seed])
    key = hashlib.sha256(what.encode() + (shards / FILE_NAME).read_bytes()).hexdigest()[:16]
    path = folder / f"{seed}-{key}.npz"
    pairs = PairedSlices(shards, "train")
    if path.exists():
        with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
            return _read(path, config, window, pairs.directions)
    data = DataConfig(window=window, crop=config.crop)
    params = _train(pairs, config, data, judged, seed, report)
    network = PairedNetwork(config, window, pairs.directions, params)
    found = validate(network, PairedSlices(shards, "validation"), judged)
    make_folder(folder)
    content = io.BytesIO()
    arrays: dict[str, Any] = {_leaf(n): leaf for n, leaf in enumerate(jax.tree.leaves(params))}
    np.savez(content, **arrays, **found)
    write_bytes(path, content.getvalue())
    return network, found


def validate(network: PairedNetwork, pairs: PairedSlices, judged: Window) -> dict[str, float]:
    """RMSE in HU over all pairs: of the sources as they are, and of their translations."""
    squares = np.zeros(2)
    for pair in pairs.pairs:
        source, target = pairs.images(pair)
        made = network(source[None], *pairs.directions[pair.direction])[0]
        for index, each in enumerate((source, made)):
            difference = np.clip(each, *judged) - np.clip(target, *judged)
            squares[index] += np.mean(np.square(difference), dtype=np.float64)
    before, after = (math.sqrt(each / len(pairs.pairs)) for each in squares.tolist())
    return {"before": before, "after": after}


def _read(
    path: Path, config: NetworkConfig, window: Window, directions: tuple[Direction, ...]
) -> tuple[PairedNetwork, dict[str, float]]:
    shapes = jax.eval_shape(partial(first_params, config, len(directions)), jax.random.key(0))
    leaves, structure = jax.tree.flatten(shapes)
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        kept = [file[_leaf(number)] for number in range(len(leaves))]
        found = {name: float(file[name]) for name in ("before", "after")}
    if [each.shape for each in kept] != [each.shape for each in leaves]:
        raise ValueError("of another network")
    params = jax.tree.unflatten(structure, kept)
    return PairedNetwork(config, window, directions, params), found


def _leaf(number: int) -> str:
    """Name of an array of parameters in the file."""
    return f"leaf{number:03d}"


def _train(
    pairs: PairedSlices,
    config: NetworkConfig,
    data: DataConfig,
    judged: Window,
    seed: int,
    report: Callable[[str], object],
) -> Params:
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    unit = 2 / (data.window[1] - data.window[0])

    def loss(params: Params, source: Array, target: Array, direction: Array) -> Array:
        made = apply_network(config, params, source, direction, data.window)
        difference = jnp.clip(made, *judged) - jnp.clip(target, *judged)
        return jnp.mean(jnp.square(unit * difference))

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: Any, batch: Batch) -> tuple[Params, Any]:
        slopes = jax.grad(loss)(params, *batch)
        updates, state = optimizer.update(slopes, state, params)
        moved: Any = optax.apply_updates(params, updates)
        return moved, state

    params = first_params(config, len(pairs.directions), jax.random.key(seed))
    state = optimizer.init(params)
    with Progress("network trained on pairs", config.steps, "step", report) as progress:
        for number in range(config.steps):
            batch = pairs.batch(number, config.batch_size, data, seed)
            params, state = step(params, state, batch)
            progress.advance()
    return params
