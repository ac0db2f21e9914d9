"""The configuration of a run: frozen dataclasses, one a concern, and their JSON form.

A file in ``configs/`` returns a ``Config`` from ``get_config()``; the command line overrides single
fields (``--train.steps 200``); the result is written to ``RUN/config.json`` and read back by
everything that uses the run.
"""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal

from jaxharmo.errors import InputError
from jaxharmo.ops.glcm import GlcmConfig, check_features

FILE_NAME = "config.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which slices are read and what is cut from them."""

    shards: str = ""
    """Shard set; empty: a phantom is made under the working directory."""
    domains: tuple[str, ...] = ()
    """Domain names to train on, in the order of their indices; empty: all of the shard set."""
    window: tuple[float, float] = (-1024.0, 400.0)
    """HU range mapped onto [-1, 1]."""
    crop: int = 256
    """Side of the square training crop, pixels; a power of two."""
    crop_position: Literal["random", "center"] = "random"
    """Random crops lie in the body's bounding box where it is large enough."""
    flip: bool = True
    """Flip left and right at random."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Widths and depths of the StarGAN v2 networks."""

    width: int = 32
    """Channels at full resolution; doubled by every downsampling."""
    max_width: int = 512
    """Upper limit of the channels of a convolution."""
    downsamples: int = 4
    """Halvings of the resolution in the generator."""
    bottleneck: int = 2
    """Residual blocks at the lowest resolution, before and again after the style enters."""
    style_dim: int = 64
    """Length of a style code."""
    latent_dim: int = 16
    """Length of the normal latent that the mapping network takes."""
    mapping_width: int = 512
    """Width of the mapping network's hidden layers."""
    residual: bool = False
    """The generator's output is added to its input and starts at zero."""
    detail_gain: float = 0.0
    """Networks also see the image's fine detail (3×3 high-pass) times this gain, and a residual
    generator's output is divided by it: kernels differ by a few hundredths of the window. 0: off,
    as published."""
    instance_norm: bool = True
    """Instance normalisation in the generator, as published; without it a style scales and shifts
    features only, and a translation does not depend on how much of the slice is in view."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextureConfig:
    """The multi-scale texture loss (arXiv 2403.16640)."""

    glcm: GlcmConfig = GlcmConfig()
    """Soft binning, range and offsets of the GLCMs."""
    features: tuple[str, ...] = ("contrast",)
    """Haralick features compared."""
    compare: Literal["cycle", "reference", "both"] = "cycle"
    """Cycle reconstruction with source (published), translation with reference, or both."""
    normalization: Literal["relative", "range"] = "relative"
    """Of a grid of differences: by the real image's feature, or by the grid's range (published)."""
    aggregation: Literal["attention", "mean", "max", "frobenius"] = "attention"
    """How the 4×4 grid of differences becomes one number."""
    crop: int = 256
    """Side of the central square that is compared, pixels."""

    def __post_init__(self):
        if not self.features:
            raise ValueError("texture.features is empty; leave the loss out with loss.texture 0")
        check_features(self.features)
        if len(self.glcm.offsets) != 16:
            raise ValueError("texture.glcm.offsets must be 16 steps: 4 angles of 4 distances each")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms; the names follow StarGAN v2."""

    adversarial: float = 1.0
    """Non-saturating adversarial term."""
    r1: float = 1.0
    """Gradient penalty on real images."""
    style: float = 1.0
    """Style reconstruction."""
    diversity: float = 1.0
    """Diversity between two styles of one domain; falls linearly to zero."""
    diversity_steps: int = 100_000
    """Steps until the diversity weight is zero."""
    cycle: float = 1.0
    """Cycle consistency."""
    texture: float = 1.0
    """Texture loss; 0 leaves it out of the compiled step."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Adam as StarGAN v2 uses it, and the average of the weights."""

    learning_rate: float = 1e-4
    """Of generator, style encoder, discriminator and texture attention."""
    mapping_learning_rate: float = 1e-6
    """Of the mapping network."""
    beta1: float = 0.0
    """Decay of Adam's first moment."""
    beta2: float = 0.99
    """Decay of Adam's second moment."""
    weight_decay: float = 1e-4
    """Strength of the decay of the weights."""
    decay: Literal["l2", "decoupled"] = "l2"
    """Decay added to the gradient (published) or to the update (AdamW)."""
    ema: float = 0.999
    """Decay of the exponential moving average of the weights."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Length, batch and rhythm of a run."""

    steps: int = 100_000
    """Optimizer steps in all."""
    batch_size: int = 8
    """Images a step, over all devices and processes."""
    seed: int = 0
    """Seed of parameters, latents and the order of the data."""
    log_every: int = 50
    """Steps between lines of metrics."""
    sample_every: int = 5_000
    """Steps between sample pictures."""
    checkpoint_every: int = 1_000
    """Steps between checkpoints."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints are kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What the evaluation looks at."""

    split: Literal["train", "validation", "test"] = "test"
    """Split whose slices are translated."""
    max_slices: int = 0
    """At most so many slices of a domain, evenly spread; 0: all."""
    batch_size: int = 4
    """Slices translated at a time."""
    tile: int = 128
    """Side of the tiles that the feature extractor sees, pixels at native spacing."""
    radiomics: Literal["auto", "native", "pyradiomics"] = "auto"
    """Engine; auto takes pyradiomics where it is installed."""
    bin_width: float = 25.0
    """Bin width of radiomic histograms and GLCMs, HU."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that determines a run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    texture: TextureConfig = TextureConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()


def check(config: Config) -> Config:
    """Return ``config`` if its values make sense together, else an ``InputError`` naming one."""
    data, model = config.data, config.model
    rules = {
        "data.window": (data.window[0] < data.window[1], "must rise"),
        "data.crop": (
            data.crop >= 16 and data.crop & (data.crop - 1) == 0,
            "must be a power of two, at least 16",
        ),
        "model.downsamples": (
            model.downsamples >= 0 and 2**model.downsamples * 4 <= data.crop,
            "must leave at least 4 pixels of a crop",
        ),
        "texture.crop": (
            min(config.texture.crop, data.crop) > config.texture.glcm.reach,
            "must exceed the largest offset",
        ),
        "train.batch_size": (config.train.batch_size >= 1, "must be at least 1"),
        "train.steps": (config.train.steps >= 1, "must be at least 1"),
        "train.log_every": (config.train.log_every >= 1, "must be at least 1"),
        "train.sample_every": (config.train.sample_every >= 1, "must be at least 1"),
        "train.checkpoint_every": (config.train.checkpoint_every >= 1, "must be at least 1"),
        "train.keep_checkpoints": (config.train.keep_checkpoints >= 1, "must be at least 1"),
        "loss.diversity_steps": (config.loss.diversity_steps >= 1, "must be at least 1"),
        "eval.batch_size": (config.eval.batch_size >= 1, "must be at least 1"),
        "eval.tile": (config.eval.tile >= 32, "must be at least 32"),
        "eval.bin_width": (config.eval.bin_width > 0, "must be positive"),
    }
    for name, (holds, demand) in rules.items():
        if not holds:
            raise InputError(f"--{name} {demand}")
    return config


def to_json(config: Config) -> str:
    """The config as indented JSON."""
    content = {"format_version": FORMAT_VERSION} | dataclasses.asdict(config)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Config:
    """Read ``to_json``'s output back; ``InputError`` on unknown fields and wrong types."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format_version", None) != FORMAT_VERSION:
        raise InputError(f"not a config of format version {FORMAT_VERSION}")
    return check(_build(Config, content, "config"))


def read_config(workdir: Path) -> Config:
    """The config of the run in ``workdir``; ``InputError`` where there is none."""
    path = workdir / FILE_NAME
    if not path.is_file():
        raise InputError(f"{workdir}: no {FILE_NAME} in it; name a folder that train.py wrote")
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_config(workdir: Path, config: Config) -> None:
    """Write ``RUN/config.json``, atomically."""
    partial = workdir / f"{FILE_NAME}.partial"
    partial.write_text(to_json(config), encoding="utf-8")
    partial.replace(workdir / FILE_NAME)


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turn parsed JSON into the annotated type ``kind``, checking every leaf."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict) or set(value) - set(hints):
            unknown = sorted(set(value) - set(hints)) if isinstance(value, dict) else value
            raise InputError(f"{where}: unknown {unknown}")
        fields = {
            name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()
        }
        try:
            return typing.cast(type, kind)(**fields)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        items = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(items) == len(value):
            return tuple(_build(item, part, where) for item, part in zip(items, value, strict=True))
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) and type(value) is kind:
        return value
    raise InputError(f"{where}: {value!r} is not {getattr(kind, '__name__', kind)}")
