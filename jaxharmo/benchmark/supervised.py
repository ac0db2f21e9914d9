"""Training on pairs, for some minutes: what supervision reaches, as a ceiling.

The loss is the mean square error in the window of the evaluation. The patients are not those of the
evaluation.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
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
from jaxharmo.evaluation.baselines import Spacing, SpectralFilter
from jaxharmo.evaluation.chunks import read_arrays, write_arrays
from jaxharmo.evaluation.slices import DomainSlices, spread
from jaxharmo.files import make_folder
from jaxharmo.ops.intensity import Window

Validation = dict[str, float]
Direction = tuple[str, str]
"""Names of source and target."""

WINDOW = (-1024.0, 1500.0)
"""HU that the network sees: bone cut lower is not what filters leave of it."""
_FITTED = 64
"""Pairs of a direction at most that fit a filter, evenly spread, as for the baseline."""


class Pair(NamedTuple):
    """Numbers of two slices of one split that show the same on one grid."""

    direction: int
    source: int
    target: int


class Batch(NamedTuple):
    """Crops of some pairs, HU."""

    source: Int16[np.ndarray, "b h w"]
    filtered: Float[np.ndarray, "b h w"]
    """Sources under the filter of their direction."""
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
        if len({pair.direction for pair in self.pairs}) < len(self.directions):
            raise InputError(
                f"{shards}: no pairs in the split '{split}'; take shards that have slices there"
            )

    def items(self, pair: Pair) -> tuple[Slice, Slice]:
        """Both slices of a pair."""
        source, target = self._ends[pair.direction]
        return self._slices[source][pair.source], self._slices[target][pair.target]

    def filters(self) -> list[SpectralFilter]:
        """By direction, the filter that is fitted on its pairs."""
        fitted = []
        for direction in range(len(self.directions)):
            own = [pair for pair in self.pairs if pair.direction == direction]
            picked = [own[index] for index in spread(len(own), min(len(own), _FITTED))]
            sides = zip(*map(self.items, picked), strict=True)
            source, target = ([(each.pixels, each.header.spacing) for each in s] for s in sides)
            fitted.append(SpectralFilter.fit_paired(source, target))
        return fitted

    def batch(
        self,
        filters: Sequence[SpectralFilter],
        number: int,
        count: int,
        data: DataConfig,
        seed: int,
    ) -> Batch:
        """Crops of random pairs; a function of the seed and the number alone."""
        random = np.random.default_rng((seed, number))
        picked = [self.pairs[index] for index in random.integers(len(self.pairs), size=count)]
        rows = []
        for pair, place in zip(picked, random.integers(2**31, size=count).tolist(), strict=True):
            source, target = self.items(pair)
            made = filters[pair.direction](source.pixels[None], source.header.spacing)[0]
            rows.append(
                [
                    crop(
                        dataclasses.replace(source, pixels=each), data, np.random.default_rng(place)
                    )
                    for each in (source.pixels, made, target.pixels)
                ]
            )
        crops = (np.stack(column) for column in zip(*rows, strict=True))
        source, filtered, target = crops
        return Batch(source, filtered, target, np.array([pair.direction for pair in picked]))


def _pairs(shards: Path, split: str, domains: tuple[Domain, ...]) -> Iterator[Pair]:
    slices = [DomainSlices(shards, split, domain) for domain in domains]
    for direction, (source, target) in enumerate(itertools.permutations(slices, 2)):
        for number in range(len(source)):
            twin = target.twin(source, number)
            if twin is not None:
                yield Pair(direction, number, twin)


class PairedNetwork:
    """The trained network, with the filters that it adds to, as a function of slices."""

    def __init__(self, pairs: PairedSlices, filters: Sequence[SpectralFilter], params: Params):
        self.directions, self._filters = pairs.directions, filters
        self._apply = jax.jit(partial(apply_network, params, window=WINDOW))

    def __call__(
        self, hu: Real[np.ndarray, "n h w"], spacing: Spacing, of: str, to: str
    ) -> Float[np.ndarray, "n h w"]:
        """Slices of the domain ``of`` as those of ``to``, HU; ``spacing`` in mm."""
        index = self.directions.index((of, to))
        filtered, direction = self._filters[index](hu, spacing), np.array([index])
        # One by one: a compilation for each number of slices would take longer.
        made = [
            np.asarray(self._apply(source[None], linear[None], direction))
            for source, linear in zip(hu, filtered, strict=True)
        ]
        return np.concatenate(made)


def paired_network(
    shards: Path,
    folder: Path,
    config: NetworkConfig,
    judged: Window,
    seed: int,
    report: Callable[[str], object] = message,
) -> tuple[PairedNetwork, Validation]:
    """The network of a seed, from ``folder`` or trained and kept there, and its validation.

    ``judged`` is the window in which errors count, HU.
    """
    what = json.dumps([dataclasses.asdict(config), WINDOW, judged, seed])
    key = hashlib.sha256(what.encode() + (shards / FILE_NAME).read_bytes()).hexdigest()[:16]
    path = folder / f"{seed}-{key}.npz"
    pairs = PairedSlices(shards, "train")
    filters = pairs.filters()
    params = _read(path, config, len(filters)) if path.exists() else None
    if params is None:
        data = DataConfig(window=WINDOW, crop=config.crop)
        params = _train(pairs, filters, config, data, judged, seed, report)
        make_folder(folder)
        leaves = enumerate(jax.tree.leaves(params))
        write_arrays(path, {_leaf(number): leaf for number, leaf in leaves})
    network = PairedNetwork(pairs, filters, params)
    return network, validate(network, PairedSlices(shards, "validation"), filters, judged)


def validate(
    network: PairedNetwork,
    pairs: PairedSlices,
    filters: Sequence[SpectralFilter],
    judged: Window,
) -> Validation:
    """RMSE in HU of ``before``, ``filter`` and ``network``: roots of means over all pairs."""
    squares = np.zeros(3)
    for pair in pairs.pairs:
        item, target = pairs.items(pair)
        source, spacing = item.pixels.astype(np.float32)[None], item.header.spacing
        made = network(source, spacing, *pairs.directions[pair.direction])
        wanted = np.clip(target.pixels.astype(np.float32), *judged)
        for index, each in enumerate((source, filters[pair.direction](source, spacing), made)):
            difference = np.clip(each[0], *judged) - wanted
            squares[index] += np.mean(np.square(difference), dtype=np.float64)
    before, linear, after = np.sqrt(squares / len(pairs.pairs)).tolist()
    return {"before": before, "filter": linear, "network": after}


def _read(path: Path, config: NetworkConfig, count: int) -> Params | None:
    """What was kept; None where it cannot be read."""
    shapes = jax.eval_shape(partial(first_params, config, count), jax.random.key(0))
    leaves, structure = jax.tree.flatten(shapes)
    arrays = read_arrays(path) or {}
    kept = [arrays.get(_leaf(number)) for number in range(len(leaves))]
    if [getattr(each, "shape", None) for each in kept] == [each.shape for each in leaves]:
        return jax.tree.unflatten(structure, kept)
    return None


def _leaf(number: int) -> str:
    """Name of an array of parameters in the file."""
    return f"leaf{number:03d}"


def _train(
    pairs: PairedSlices,
    filters: Sequence[SpectralFilter],
    config: NetworkConfig,
    data: DataConfig,
    judged: Window,
    seed: int,
    report: Callable[[str], object],
) -> Params:
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps))
    unit = 2 / (data.window[1] - data.window[0])

    def loss(params: Params, batch: Batch) -> Array:
        source, filtered, direction = map(
            jnp.asarray, (batch.source, batch.filtered, batch.direction)
        )
        made = apply_network(params, source, filtered, direction, data.window)
        difference = jnp.clip(made, *judged) - jnp.clip(batch.target, *judged)
        return jnp.mean(jnp.square(unit * difference))

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: Any, batch: Batch) -> tuple[Params, Any]:
        slopes = jax.grad(loss)(params, batch)
        updates, state = optimizer.update(slopes, state, params)
        moved: Any = optax.apply_updates(params, updates)
        return moved, state

    params = first_params(config, len(filters), jax.random.key(seed))
    state = optimizer.init(params)
    with Progress("network trained on pairs", config.steps, "step", report) as progress:
        for number in range(config.steps):
            batch = pairs.batch(filters, number, config.batch_size, data, seed)
            params, state = step(params, state, batch)
            progress.advance()
    return params
