"""A trained run as one function: slices in HU and a target domain in, slices in HU out."""

import dataclasses
import hashlib
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from jaxharmo.checkpoint import Checkpoints, find_step
from jaxharmo.config import Config, EvalConfig, check, read_config
from jaxharmo.errors import InputError
from jaxharmo.models.networks import AVERAGED, Networks, Params, build, init
from jaxharmo.ops.intensity import Window, denormalize, normalize

_STYLE_SAMPLES = 256


class Translator:
    """Translates slices with the averaged weights of one checkpoint.

    The style of a domain is the mean of the mapping network's styles over 256 latents of a fixed
    seed, so a slice has one translation, and all slices of a series have the same style.
    """

    def __init__(self, config: Config, params: Params, step: int):
        self.config = config
        self.step = step
        self.domains = config.data.domains
        self._params = params
        networks = build(config)
        self._mean_style = jax.jit(partial(_mean_style, networks, config))
        self._translate = jax.jit(
            partial(_translate, networks, config.data.window, 2**config.model.downsamples)
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, hexadecimal: which model wrote a slice."""
        digest = hashlib.sha256()
        for path, leaf in jax.tree_util.tree_leaves_with_path(self._params):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()

    def check_domain(self, name: str) -> int:
        """Index of a domain; ``InputError`` lists those that exist."""
        if name not in self.domains:
            raise InputError(f"no domain '{name}'; there are: {', '.join(sorted(self.domains))}")
        return self.domains.index(name)

    def __call__(self, hu: Num[np.ndarray, "n h w"], to: str) -> Float[np.ndarray, "n h w"]:
        """Translate slices of any size, HU in and out, float32.

        HU above the training window keep what they exceed it by; HU below it, as in padding, are
        returned unchanged.
        """
        style = self._mean_style(self._params, self.check_domain(to))
        translated = [
            np.asarray(self._translate(self._params, batch, style))[:count]
            for batch, count in _batches(hu, self.config.eval.batch_size)
        ]
        return np.concatenate(translated) if translated else np.zeros(hu.shape, np.float32)


def load_translator(
    workdir: Path | str, step: int | None = None, settings: EvalConfig | None = None
) -> Translator:
    """The run in ``workdir`` at ``step``, or at its newest checkpoint.

    ``settings`` replace those of the run, among them how many slices are translated at a time.

    Raises ``InputError`` where there is no run, no checkpoint, or none of that step.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    if settings:
        config = check(dataclasses.replace(config, eval=settings))
    step = find_step(workdir, step)
    networks = build(config)
    like = jax.eval_shape(lambda key: init(networks, config, key), jax.random.key(0))
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    averaged = {
        name: jax.tree.map(lambda leaf: leaf.update(sharding=device), like[name])
        for name in AVERAGED
    }
    with Checkpoints(workdir) as checkpoints:
        return Translator(config, checkpoints.restore(step, {"ema": averaged})["ema"], step)


def _batches(hu: Num[np.ndarray, "n h w"], size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of one size, the last one filled up so that one compilation serves all."""
    for start in range(0, len(hu), size):
        batch = hu[start : start + size].astype(np.float32)
        missing = min(size, len(hu)) - len(batch)
        yield np.pad(batch, ((0, missing), (0, 0), (0, 0)), mode="edge"), len(batch)


def _mean_style(
    networks: Networks, config: Config, params: Params, domain: Array
) -> Float[Array, "s"]:
    latents = jax.random.normal(jax.random.key(0), (_STYLE_SAMPLES, config.model.latent_dim))
    domains = jnp.full(_STYLE_SAMPLES, domain)
    styles = networks.mapping_network.apply({"params": params["mapping_network"]}, latents, domains)
    return jnp.mean(jnp.asarray(styles), axis=0)


def _translate(
    networks: Networks,
    window: Window,
    multiple: int,
    params: Params,
    hu: Float[Array, "n h w"],
    style: Float[Array, "s"],
) -> Float[Array, "n h w"]:
    height, width = hu.shape[1:]
    padding = ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0))
    image = jnp.pad(normalize(hu, window)[..., None], padding, mode="edge")
    styles = jnp.broadcast_to(style, (len(hu), *style.shape))
    image = networks.generator.apply({"params": params["generator"]}, image, styles)
    translated = denormalize(jnp.asarray(image)[:, :height, :width, 0], window)
    return jnp.where(hu < window[0], hu, translated + jnp.maximum(hu - window[1], 0))
