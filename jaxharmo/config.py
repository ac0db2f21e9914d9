"""The configuration of a run: frozen dataclasses, one for each part.

A file in ``configs/`` returns a ``Config`` from ``get_config()``; the command line overrides single
fields (``--train.steps 200``). ``saved_config`` writes the result to ``RUN/config.json``.
"""

import dataclasses
import math
from typing import Literal

from jaxharmo.errors import InputError
from jaxharmo.ops.glcm import GlcmConfig, check_features

Aggregation = Literal["mean", "max", "noise", "separation", "attention", "frobenius"]
Sees = Literal["image", "detail"]
Baseline = Literal["histogram", "spectral", "spectral_paired", "combat"]


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
class PublishedGenerator:
    """Encoder and AdaIN decoder of StarGAN v2, given the target's style."""

    kind: Literal["published"] = "published"
    downsamples: int = 4
    """Halvings of the resolution."""
    bottleneck: int = 2
    """Residual blocks at the lowest resolution, before and again after the style enters."""

    def __post_init__(self):
        if self.downsamples < 0:
            raise ValueError("downsamples must not be negative")
        if self.bottleneck < 1:
            raise ValueError("bottleneck must be at least 1")

    @property
    def multiple(self) -> int:
        """Height and width of an image must be multiples of it."""
        return 2**self.downsamples

    @property
    def in_mm(self) -> bool:
        """It does not see the size of pixels."""
        return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterGenerator:
    """A filter and a residual network, both driven by the difference of two styles.

    A translation needs the domain of the source. Into its own domain an image does not change.
    """

    kind: Literal["filter"] = "filter"
    knots: int = 16
    """Frequencies at which the logarithm of the filter's gain is learned."""
    in_mm: bool = False
    """Gains by frequency per mm, not per pixel; then examples of two scanners have one pixel."""
    pixel: float = 0.0
    """mm; knots ``in_mm`` reach as far as such pixels resolve. 0: the finest of the domains."""
    residual_width: int = 8
    """Channels of the residual network; 0 leaves it out."""
    local_gains: bool = False
    """Gains that depend on the activity around a pixel as well, for iterative reconstruction."""
    calibration: bool = False
    """Offsets of the levels of air, soft tissue and bone alone, as scanners differ in their
    calibration and beam; otherwise of 12 levels, as kernels shift them near edges."""

    def __post_init__(self):
        if self.knots < 2:
            raise ValueError("knots must be at least 2")
        if not (self.pixel == 0 or 0.01 <= self.pixel <= 20):
            raise ValueError("pixel must be 0, or 0.01 to 20 mm")
        if self.residual_width < 0:
            raise ValueError("residual_width must not be negative")

    @property
    def multiple(self) -> int:
        """Images of any height and width."""
        return 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The networks: generator, mapping network, style encoder, discriminator."""

    generator: PublishedGenerator | FilterGenerator = PublishedGenerator()
    """Its kind decides what a style is. Published: the whole output of the mapping network or the
    style encoder. Filter: a row of a learned table for each domain, to which latents and images add
    the spread within the domain."""
    sees: Sees = "image"
    """Input of discriminator and style encoder: the image, reduced to one vector, as published, or
    patches of its detail at several resolutions."""
    width: int = 32
    """Channels at full resolution; doubled by every halving."""
    max_width: int = 512
    """Upper limit of the channels of a convolution."""
    style_dim: int = 64
    """Length of a style code."""
    latent_dim: int = 16
    """Length of the normal latent that the mapping network takes; 0: a domain has one style, and no
    update is guided by references."""
    mapping_width: int = 512
    """Width of the mapping network's hidden layers."""

    @property
    def by_difference(self) -> bool:
        """Whether a translation depends on the domain that it starts from."""
        return isinstance(self.generator, FilterGenerator)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextureConfig:
    """The multi-scale texture loss (arXiv 2403.16640)."""

    glcm: GlcmConfig = GlcmConfig()
    """Soft binning, range and offsets of the GLCMs."""
    features: tuple[str, ...] = ("contrast",)
    """Haralick features compared."""
    compare: Literal["changes", "cycle", "reference"] = "changes"
    """What translation changes with how the domains differ (``losses/changes.py``); the cycle's
    reconstruction with the source (published); or the translation with references."""
    resolutions: int = 4
    """Of changes: bands of detail that are compared (``ops/pyramid.py``)."""
    normalization: Literal["relative", "range"] = "relative"
    """Of cycle and reference: differences by the real image's feature, or by the range of their
    grid (published)."""
    aggregation: Aggregation = "mean"
    """How cells become one number: mean, max; of changes, weights by the noise of a cell or by how
    well it separates the domains; trained attention (published); of cycle and reference, the
    Frobenius norm."""
    crop: int = 256
    """Side of the central square that is compared, pixels."""

    @property
    def coarsest(self) -> int:
        """Pixels that a pixel of the coarsest resolution stands for, along an axis."""
        return 2 ** max(0, self.resolutions - 2) if self.compare == "changes" else 1

    def __post_init__(self):
        if not self.features:
            raise ValueError("texture.features is empty; leave the loss out with loss.texture 0")
        check_features(self.features)
        missing = {"changes": ("frobenius",)}.get(self.compare, ("noise", "separation"))
        if self.aggregation in missing:
            raise ValueError(
                f"texture.aggregation {self.aggregation} is not for texture.compare {self.compare}"
            )
        if self.resolutions < 1:
            raise ValueError("texture.resolutions must be at least 1")
        if len(self.glcm.offsets) != 16:
            raise ValueError("texture.glcm.offsets must be 16 steps: 4 angles of 4 distances each")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms; the names follow StarGAN v2."""

    adversarial: float = 1.0
    """Non-saturating adversarial term; 0 leaves the discriminator out of the compiled step."""
    r1: float = 1.0
    """Gradient penalty on real images."""
    style: float = 1.0
    """Style reconstruction; 0 leaves it out of the compiled step."""
    diversity: float = 1.0
    """Diversity between two styles of one domain; falls linearly to zero. 0 leaves it, and the
    second translation it needs, out of the compiled step."""
    spread: float = 0.0
    """Distribution of drawn styles against that of styles read off images of the domain
    (``losses/spread.py``). For the filter generator with latents; 0, as published, leaves it out.
    """
    diversity_steps: int = 100_000
    """Steps until the diversity weight is zero."""
    cycle: float = 1.0
    """Cycle consistency."""
    texture: float = 1.0
    """Texture loss; 0 leaves it out of the compiled step."""
    spectrum: float = 0.0
    """Change of the power spectrum against the difference of the domains (``losses/changes.py``);
    0, as published, leaves it out."""
    histogram: float = 0.0
    """The same of the histogram, between kernels of one scanner; 0, as published, leaves it out."""
    activity: float = 0.0
    """The same of the distribution of activity (``ops/activity.py``), between reconstructions of
    one scanner; 0, as published, leaves it out."""
    levels: float = 0.0
    """The same of the mean levels of tissues, for generators with a calibration; 0, as published,
    leaves it out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Adam as StarGAN v2 uses it, and the average of the weights."""

    learning_rate: float = 1e-4
    """Of generator, style encoder, discriminator and texture attention."""
    mapping_learning_rate: float = 1e-6
    """Of the mapping network."""
    cosine_steps: int = 0
    """Steps over which the learning rates fall to zero along half a cosine; 0: constant, as
    published."""
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
    accumulate: int = 1
    """Parts of the batch whose gradients are averaged before each update: memory of a part, result
    of the whole. What a texture loss averages over the batch, it then averages over a part."""
    steps_per_dispatch: int = 1
    """Optimizer steps in one call of the device, where starting a call is what takes time; every
    rhythm below, and the number of steps, must be a multiple. Metrics are means over them."""
    guidance: Literal["apart", "mixed"] = "apart"
    """Updates guided by latents and updates guided by references, as published; or one update for
    both, in which every second sample of a batch is guided by its reference: half the work."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the convolutions and what lies between them. Parameters, norms, losses, the gradient
    penalty with its pass of the discriminator, and texture stay float32."""
    remat: bool = False
    """Compute the inside of every residual block again for the gradient: less memory, a third more
    time."""
    seed: int = 0
    """Seed of parameters, latents and the order of the data."""
    log_every: int = 50
    """Steps between lines of metrics."""
    sample_every: int = 5_000
    """Steps between sample pictures."""
    shard_state: bool = False
    """Cut parameters, their average and the optimizers' state into one piece a device (FSDP): less
    memory on each, more communication. Off: all of it on every device."""
    checkpoint_every: int = 1_000
    """Steps between checkpoints."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints are kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What is evaluated, and how."""

    split: Literal["train", "validation", "test"] = "test"
    """Split whose slices are translated."""
    domains: tuple[str, ...] = ()
    """Domains of the run to translate between; empty: all."""
    targets: tuple[str, ...] = ()
    """Those of ``domains`` to translate to; empty: all."""
    window: tuple[float, float] | None = None
    """HU range that slices are clipped to before they are measured; none: the training window."""
    max_slices: int = 0
    """Maximum number of slices of a domain, evenly spaced; 0: all."""
    batch_size: int = 4
    """Slices translated at a time."""
    guidance: Literal["latent", "reference", "both"] = "both"
    """Where the target's style comes from: the mapping network, or slices of the target domain."""
    latents: int = 0
    """Latent-guided: number of styles drawn, each evaluated by itself; 0: the mean style."""
    references: int = 8
    """Reference-guided: number of slices of the target domain whose mean style is used; from the
    training split where it has some."""
    baselines: tuple[Baseline, ...] = ("histogram", "spectral", "spectral_paired", "combat")
    """What the model is compared with."""
    fit_slices: int = 64
    """Most slices of a domain that a baseline is fitted on, evenly spread."""
    tile: int = 128
    """Side of the tiles for the feature extractor, pixels at native spacing."""
    max_tiles: int = 2048
    """Most tiles of a domain, approximately, the same number of each slice; 0: all."""
    inception_weights: str = ""
    """Weights file (pt_inception-2015-12-05-6726825d.pth) for the Inception FID; empty: without."""
    inception_resize: Literal["torch-fidelity", "pytorch-fid", "clean-fid"] = "clean-fid"
    """How slices become 299×299 pixels, named after the tool whose figures it matches."""
    radiomics: Literal["native", "pyradiomics"] = "native"
    """Engine: our own, 42 features, or pyradiomics, 102 and much slower."""
    bin_width: float = 25.0
    """Bin width of radiomic histograms and GLCMs, HU."""
    resamples: int = 200
    """Resamples of the patients for intervals."""
    permutations: int = 199
    """Permutations of a test."""
    seed: int = 0
    """Of references, tiles, resamples and permutations."""


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
    data, model, optim, train = config.data, config.model, config.optim, config.train
    low, high = data.window
    rules = {
        "data.window": (-32768 <= low < high <= 32767, "must rise, within -32768 to 32767"),
        "data.domains": (len(set(data.domains)) == len(data.domains), "must differ"),
        "data.crop": (
            data.crop >= 16 and data.crop & (data.crop - 1) == 0,
            "must be a power of two, at least 16",
        ),
        "model.generator.downsamples": (
            model.generator.multiple * 4 <= data.crop,
            "must leave at least 4 pixels of a crop",
        ),
        "model.latent_dim": (model.latent_dim >= 0, "must not be negative"),
        "model.generator.calibration": (
            getattr(model.generator, "calibration", False) == (config.loss.levels > 0),
            "and loss.levels go together: offsets of tissues are learned by that loss alone",
        ),
        "texture.crop": (
            min(config.texture.crop, data.crop) // config.texture.coarsest
            > config.texture.glcm.reach,
            "(and data.crop) must exceed the largest offset, at the coarsest resolution, too",
        ),
        "loss.diversity_steps": (config.loss.diversity_steps >= 1, "must be at least 1"),
        "train.seed": (train.seed >= 0, "must not be negative"),
        "eval.tile": (config.eval.tile >= 32, "must be at least 32"),
        "eval.resamples": (config.eval.resamples >= 20, "must be at least 20"),
        "eval.permutations": (config.eval.permutations >= 19, "must be at least 19"),
        "eval.bin_width": (config.eval.bin_width > 0, "must be positive"),
    }
    for name in ("max_slices", "latents", "max_tiles", "seed"):
        rules[f"eval.{name}"] = (getattr(config.eval, name) >= 0, "must not be negative")
    for name in ("batch_size", "references", "fit_slices"):
        rules[f"eval.{name}"] = (getattr(config.eval, name) >= 1, "must be at least 1")
    for name in ("width", "max_width", "style_dim", "mapping_width"):
        rules[f"model.{name}"] = (getattr(model, name) >= 1, "must be at least 1")
    for name in {field.name for field in dataclasses.fields(config.loss)} - {"diversity_steps"}:
        rules[f"loss.{name}"] = (0 <= getattr(config.loss, name) < math.inf, "must be 0 or more")
    if config.loss.spread and not (model.by_difference and model.latent_dim > 0):
        rules["loss.spread"] = (
            False,
            "is for the filter generator with latents (model.latent_dim above 0)",
        )
    for name in ("learning_rate", "mapping_learning_rate"):
        rules[f"optim.{name}"] = (0 < getattr(optim, name) < math.inf, "must be positive")
    for name in ("beta1", "beta2", "ema"):
        rules[f"optim.{name}"] = (0 <= getattr(optim, name) < 1, "must be at least 0 and below 1")
    rules["optim.cosine_steps"] = (optim.cosine_steps >= 0, "must not be negative")
    rules["optim.weight_decay"] = (0 <= optim.weight_decay < math.inf, "must be 0 or more")
    steps = ("steps", "batch_size", "log_every", "sample_every", "checkpoint_every")
    for name in (*steps, "keep_checkpoints"):
        rules[f"train.{name}"] = (getattr(train, name) >= 1, "must be at least 1")
    rules["train.accumulate"] = (
        train.accumulate >= 1 and train.batch_size % train.accumulate == 0,
        "must be at least 1 and divide train.batch_size",
    )
    rules["train.steps_per_dispatch"] = (train.steps_per_dispatch >= 1, "must be at least 1")
    for name in ("steps", "log_every", "sample_every", "checkpoint_every"):
        if getattr(train, name) % max(train.steps_per_dispatch, 1):
            rules[f"train.{name}"] = (False, "must be a multiple of train.steps_per_dispatch")
    if 0 < optim.cosine_steps < train.steps:
        rules["train.steps"] = (
            False,
            f"must not exceed optim.cosine_steps, {optim.cosine_steps}: from there on the learning "
            "rate is zero; raise both",
        )
    for name, (holds, demand) in rules.items():
        if not holds:
            raise InputError(f"--{name} {demand}")
    return config
