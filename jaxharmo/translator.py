"""A trained model as functions of slices: HU and a target domain, or a style, in; HU out."""

import dataclasses
import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
from jaxtyping import Array, Float, Int, Num

from jaxharmo import runtime
from jaxharmo.checkpoint import Checkpoints, find_step
from jaxharmo.config import Config, EvalConfig, check
from jaxharmo.data.crops import body_crops
from jaxharmo.errors import InputError
from jaxharmo.models.networks import AVERAGED, Networks, Params, build, init
from jaxharmo.ops.intensity import CT_FLOOR, Window, hand_over, normalize
from jaxharmo.saved_config import read_config

Precision = Literal["float32", "bfloat16"]
Style = Float[np.ndarray, "s"]


class Steering(NamedTuple):
    """What leads slices to a style."""

    to: Float[np.ndarray, "s"] | Array
    of: Float[np.ndarray, "s"] | Array
    """The style to start from."""
    pixel: float | Array
    """Side of the slices' pixels, mm; NaN where the model does without."""


_STYLE_SAMPLES = 256
_CROPS = 16


class Translator:
    """Translates slices with the averaged weights of one checkpoint.

    A style is a value, an array of ``model.style_dim`` numbers: of a domain (``mean_style``), drawn
    (``latent_style``) or read off slices (``reference_style``). One style for all slices of a
    series keeps them alike. Slices are spread over the local devices; each size of slices is
    compiled once, as the batches always have ``config.eval.batch_size`` slices (rounded up to a
    multiple of the devices in use).

    With ``bfloat16`` the networks compute in that format, but for their norms and their result:
    what a residual generator adds to a slice is added in float32.
    """

    def __init__(
        self, config: Config, params: Params, step: int, *, precision: Precision = "float32"
    ):
        self.config = config
        self.step = step
        self.domains = config.data.domains
        self.precision: Precision = precision
        self._params = params
        # Needed for the source at every batch.
        self._means: dict[str, Style] = {}
        wanted = config.eval.batch_size
        devices = jax.local_devices()[:wanted]
        mesh = jax.make_mesh(
            (len(devices),), (runtime.DATA,), axis_types=(AxisType.Auto,), devices=devices
        )
        self._batch = -(-wanted // len(devices)) * len(devices)
        self._split, self._everywhere = runtime.split_by_batch(mesh), runtime.replicated(mesh)
        self._generator: Any = jax.device_put(params["generator"], self._everywhere)
        train = dataclasses.replace(config.train, compute_dtype=precision)
        networks = build(dataclasses.replace(config, train=train))
        self._map = jax.jit(networks.mapped_style)
        self._encode = jax.jit(partial(_encode, networks, config.data.window))
        self._translate = jax.jit(partial(_translate, networks, config))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, hexadecimal: which model wrote a slice."""
        digest = hashlib.sha256()
        for path, leaf in jax.tree_util.tree_leaves_with_path(self._params):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()

    @property
    def params(self) -> Params:
        """The averaged weights, float32."""
        return self._params

    def check_domain(self, name: str) -> int:
        """Index of a domain; ``InputError`` lists those that exist."""
        if name not in self.domains:
            raise InputError(f"no domain '{name}'; there are: {', '.join(sorted(self.domains))}")
        return self.domains.index(name)

    def mean_style(self, to: str) -> Style:
        """The domain's style: the mapping network's mean over 128 latents and their opposites."""
        if to not in self._means:
            drawn = self._draw(_STYLE_SAMPLES // 2, 0)
            self._means[to] = self._mapped(to, np.concatenate([drawn, -drawn])).mean(0)
        return self._means[to]

    def latent_style(self, to: str, seed: int) -> Style:
        """One style of the domain, drawn by ``seed``."""
        return self._mapped(to, self._draw(1, seed))[0]

    def reference_style(self, hu: Num[np.ndarray, "n h w"], of: str) -> Style:
        """The style of slices (HU) of the domain ``of``: the mean over crops that cover the body.

        Where domains have one style each, it is that.
        Raises ``InputError`` for a domain that does not exist, or where there is no slice.
        """
        domain = self.check_domain(of)
        if not len(hu):
            raise InputError("a reference style needs at least one slice")
        if not self.config.model.latent_dim:
            return self.mean_style(of)
        data = self.config.data
        crops = body_crops(hu, data.crop, data.window[0])
        domains = np.full(_CROPS, domain, np.int32)
        styles = [
            np.asarray(self._encode(self._params, batch, domains))[:count]
            for batch, count in _batches(crops, _CROPS)
        ]
        return np.concatenate(styles).mean(0)

    @property
    def needs_source(self) -> bool:
        """Whether a translation depends on the domain that it starts from."""
        return self.config.model.by_difference

    def steering(self, to: Style, of: Style | str | None, pixel: float | None = None) -> Steering:
        """What leads slices to a style: ``translate`` takes it.

        ``of`` is their own style, or a domain that stands for its mean style. Models that do not
        need it (``needs_source``) leave it out of account; for others it is an ``InputError`` where
        it is None or no domain of the model. Likewise ``pixel``, the side of their pixels, mm, for
        models that work in mm.
        """
        if self.config.model.generator.in_mm:
            if pixel is None:
                raise InputError("this model needs the size of the slices' pixels, mm; name it")
            if not 0.01 <= pixel <= 20:
                raise InputError(f"pixels of {pixel:g} mm: must be 0.01 to 20")
        side = math.nan if pixel is None else pixel
        if not self.needs_source:
            return Steering(to, np.zeros_like(to), side)
        if of is None:
            raise InputError("this model needs the source's domain; name it")
        return Steering(to, self.mean_style(of) if isinstance(of, str) else of, side)

    def translate(
        self, hu: Num[np.ndarray, "n h w"], steering: Steering
    ) -> Float[np.ndarray, "n h w"]:
        """Translate slices of any size (see ``steering``), HU in and out, float32.

        Voxels outside the training window are returned as they are. Over the last ``HANDOVER`` HU
        below its upper end the translation fades into the source (smoothstep); likewise above its
        lower end, unless that is the floor of the CT scale: nothing but padding lies below it.
        Translations are not clipped to the window, but to the floor, as scanners do.
        """
        led = jax.device_put(jax.tree.map(jnp.float32, steering), self._everywhere)
        running: deque[tuple[Array, int]] = deque()
        translated = np.empty(hu.shape, np.float32)
        done = 0
        for batch, count in [*_batches(hu, self._batch), (None, 0)]:
            if batch is not None:
                placed = jax.device_put(batch, self._split)
                running.append((self._translate(self._generator, placed, led), count))
            # One batch computes while the one before comes back.
            while len(running) > (batch is not None):
                result, count = running.popleft()
                translated[done : done + count] = np.asarray(result)[:count]
                done += count
        return translated

    def bound(self, steering: Steering) -> Callable[[Float[Array, "n h w"]], Float[Array, "n h w"]]:
        """``translate`` as a pure function for JAX to trace; steering and weights are constants."""
        # Off the devices: what is placed on several of them would only run on as many.
        weights, constant = jax.tree.map(np.asarray, (self._generator, steering))
        return lambda hu: self._translate(weights, hu, constant)

    def __call__(
        self,
        hu: Num[np.ndarray, "n h w"],
        to: str,
        of: str | None = None,
        pixel: float | None = None,
    ) -> Float[np.ndarray, "n h w"]:
        """Translate slices to the mean style of a domain; see ``steering`` and ``translate``."""
        return self.translate(hu, self.steering(self.mean_style(to), of, pixel))

    def _draw(self, count: int, seed: int) -> Float[np.ndarray, "n z"]:
        shape = (count, self.config.model.latent_dim)
        return np.asarray(jax.random.normal(jax.random.key(seed), shape))

    def _mapped(self, to: str, latents: Float[np.ndarray, "n z"]) -> Float[np.ndarray, "n s"]:
        domains = np.full(len(latents), self.check_domain(to), np.int32)
        return np.asarray(self._map(self._params, latents, domains))


def load_translator(
    workdir: Path | str,
    step: int | None = None,
    settings: EvalConfig | None = None,
    *,
    precision: Precision = "float32",
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
    # The processes of a run read together, and each has all of it.
    place = (
        jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        if runtime.is_alone()
        else runtime.replicated(runtime.make_mesh())
    )
    averaged = jax.tree.map(lambda leaf: leaf.update(sharding=place), averaged_shapes(config))
    with Checkpoints(workdir) as checkpoints:
        params = checkpoints.restore(step, {"ema": averaged})["ema"]
    if not runtime.is_alone():
        params = jax.device_get(params)
    return Translator(config, params, step, precision=precision)


def averaged_shapes(config: Config) -> dict[str, Any]:
    """Shapes and types of the averaged weights of a model with this config."""
    networks = build(config)
    shapes = jax.eval_shape(lambda key: init(networks, config, key), jax.random.key(0))
    return {name: shapes[name] for name in AVERAGED}


def _batches(
    slices: Num[np.ndarray, "n h w"], size: int
) -> Iterator[tuple[Float[np.ndarray, "b h w"], int]]:
    """Batches of one size, the last one filled up so that one compilation serves all."""
    for start in range(0, len(slices), size):
        batch = slices[start : start + size].astype(np.float32)
        missing = size - len(batch)
        yield np.pad(batch, ((0, missing), (0, 0), (0, 0)), mode="edge"), len(batch)


def _encode(
    networks: Networks,
    window: Window,
    params: Params,
    hu: Float[Array, "n c c"],
    domains: Int[Array, "n"],
) -> Float[Array, "n s"]:
    images = normalize(hu, window)[..., None]
    return networks.encoded_style(params, images, domains)


def _translate(
    networks: Networks,
    config: Config,
    generator: dict,
    hu: Float[Array, "n h w"],
    steering: Steering,
) -> Float[Array, "n h w"]:
    window = config.data.window
    height, width = hu.shape[1:]
    multiple = config.model.generator.multiple
    padding = ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0))
    image = normalize(hu, window)[..., None]
    if multiple > 1:
        image = jnp.pad(image, padding, mode="edge")
    ends = (jnp.broadcast_to(end, (hu.shape[0], *jnp.shape(end))) for end in steering)
    made = networks.translate({"generator": generator}, image, *ends)[:, :height, :width, 0]
    translated = (made + 1) * ((window[1] - window[0]) / 2) + window[0]
    return hand_over(hu, jnp.maximum(translated, CT_FLOOR), window)
