"""Add a domain to a trained model, from a few slices of it.

All parameters of the model stay. A filter is learned that leads from one of its domains to the new
one (``models/one_more_domain.py``), by the losses on what translation changes: translated slices of
the known domain are described as the references are. With few slices, differences of anatomy do not
average out. Four things keep them out of the filter:

- Each reference crop is compared with the crop of the known domain that has the most similar
  shares of tissue.
- A cell of a description counts by the inverse of its variance between crops.
- The logarithms of the gains have a normal prior, around those of the model's domain that is
  nearest to the references, with the standard deviation of the gains between all pairs of domains.
- The lowest frequencies keep their gain, as kernels leave them nearly as they are, and levels are
  not shifted.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Num

from jaxharmo.config import Config
from jaxharmo.data.crops import body_crops
from jaxharmo.errors import InputError
from jaxharmo.losses.changes import AGGREGATIONS, LARGEST_GAP, Descriptor, Gaps, share_scale
from jaxharmo.losses.descriptors import DESCRIPTORS
from jaxharmo.models.filters import TISSUES, tissue
from jaxharmo.models.networks import Params, build
from jaxharmo.models.one_more_domain import Rows, is_gain, style_layers, with_domain, with_number
from jaxharmo.ops.binning import soft_histogram
from jaxharmo.ops.intensity import in_whole_hu, normalize
from jaxharmo.training.terms import remembered
from jaxharmo.translator import Translator

REFERENCES = 8
"""Slices of the new domain that are enough."""
_REFERENCE_CROPS = 24
_SOURCE_CROPS = 48
_KEPT = 2 / 3
"""Share of the reference crops with the most similar source crops; for the others there is none."""
_OF_LEVELS = ("histogram", "levels")
"""Descriptions that are left out: in a few slices, levels depend more on anatomy than on the
scanner."""
_FIXED_KNOTS = 2
"""Of the filter, those of the lowest frequencies."""
_STEPS = 100
_LEARNING_RATE = 0.02
_PRIOR = 0.02

Images = Float[Array, "b h w 1"]


class _Target(NamedTuple):
    """One description of the references."""

    descriptor: Descriptor
    weight: float
    """Of its loss in the config."""
    mean: Float[Array, "f"]
    variance: Float[Array, "f"]
    """Of the difference of a translated crop and a reference crop."""


def add_domain(
    translator: Translator,
    name: str,
    references: Num[np.ndarray, "n h w"],
    source: Num[np.ndarray, "m h w"],
    of: str,
    pixel: float,
) -> Translator:
    """The model with a domain ``name`` added, to which it translates like to any other.

    ``references`` are slices of the new domain, ``source`` of the known domain ``of``, HU, with
    pixels of about the same size, ``pixel`` mm. They need not show the same patients, but the same
    part of the body.

    Raises ``InputError`` for a model without a filter generator, a name that it has already, a
    domain that it does not have, and where there is no slice.
    """
    config = translator.config
    if not config.model.by_difference:
        raise InputError("only a model with a filter generator can learn a domain afterwards")
    if name in translator.domains:
        raise InputError(f"the model has a domain '{name}'; choose another name")
    if not (len(references) and len(source)):
        raise InputError("a domain needs at least one slice of it, and one of a known domain")
    number = translator.check_domain(of)
    crop, floor = config.data.crop, config.data.window[0]
    images, wanted = _matched(
        *(
            normalize(jnp.asarray(body_crops(hu, crop, floor, most)), config.data.window)[..., None]
            for hu, most in ((source, _SOURCE_CROPS), (references, _REFERENCE_CROPS))
        )
    )
    styles = np.stack([translator.mean_style(domain) for domain in translator.domains])
    targets = _targets(config, images, wanted)
    rows = _fit(config, translator.params, styles, number, images, pixel, targets)
    extended = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, domains=(*translator.domains, name)),
        model=dataclasses.replace(config.model, style_dim=config.model.style_dim + 1),
    )
    params = jax.device_get(with_domain(translator.params, rows, number))
    return Translator(extended, params, translator.step, precision=translator.precision)


def _matched(source: Images, references: Images) -> tuple[Images, Images]:
    """Pairs of crops whose shares of tissue are alike."""
    shares = lambda images: soft_histogram(tissue(images), TISSUES)  # noqa: E731
    distance = jnp.abs(shares(references)[:, None] - shares(source)).sum(-1)
    nearest = distance.argmin(1)
    kept = jnp.argsort(distance.min(1))[: max(1, round(_KEPT * len(references)))]
    return source[nearest[kept]], references[kept]


def _targets(config: Config, images: Images, references: Images) -> list[_Target]:
    targets = []
    for name in remembered(config):
        if name in _OF_LEVELS:
            continue
        descriptor = DESCRIPTORS[name](config)
        of, to = descriptor.describe(images), descriptor.describe(references)
        variance = of.var(0) + to.var(0) + jnp.square(descriptor.rounding_gap(of.mean(0)))
        targets.append(_Target(descriptor, getattr(config.loss, name), to.mean(0), variance))
    if not targets:
        raise InputError("the model was trained without a loss on what translation changes")
    return targets


def _gap(target: _Target, made: Images) -> Float[Array, ""]:
    """How far the descriptions of translated crops and of references are apart."""
    mean = target.descriptor.describe(made).mean(0)
    gap = mean - target.mean
    if target.descriptor.shares:
        cells = jnp.square(gap) / 2 / share_scale(mean, target.mean)
    else:
        cells = optax.losses.huber_loss(gap, delta=LARGEST_GAP)
    # Trained attention has seen other pairs of domains.
    aggregate = AGGREGATIONS.get(target.descriptor.aggregation, AGGREGATIONS["noise"])
    return aggregate(Gaps(cells[None], target.variance[None], gap[None])).sum()


def _free(name: str, count: int) -> Float[Array, "n"]:
    """0 for the lowest frequencies of the filter, else 1."""
    fixed = _FIXED_KNOTS if name.startswith("gain") else 0
    return (jnp.arange(count) >= fixed).astype(jnp.float32)


def _fit(
    config: Config,
    params: Params,
    styles: Float[np.ndarray, "k s"],
    of: int,
    images: Images,
    pixel: float,
    targets: list[_Target],
) -> Rows:
    """What the generator has to do at the new number of the style."""
    networks = build(config)
    layers = style_layers(params["generator"])
    between = (styles[:, None] - styles).reshape(-1, styles.shape[1])
    free = {
        name: _free(name, weights.shape[1]) * jnp.sqrt(jnp.square(between @ weights).mean(0))
        for name, weights in layers.items()
        if is_gain(name)
    }
    of_known = jnp.zeros((len(images), styles.shape[1] + 1))
    of_new = of_known.at[:, 0].set(1)
    side = jnp.full(len(images), pixel)

    def rows_of(deviations: Rows, nearest: Float[Array, "s"]) -> dict[str, Float[Array, "n"]]:
        """Deviations from the nearest domain are in standard deviations."""
        return {
            name: _free(name, weights.shape[1]) * (nearest @ weights)
            + free[name] * deviations[name]
            if name in free
            else jnp.zeros(weights.shape[1])
            for name, weights in layers.items()
        }

    def loss(deviations: Rows, nearest: Float[Array, "s"]) -> Float[Array, ""]:
        generator = with_number(params["generator"], rows_of(deviations, nearest))
        made = networks.translate({"generator": generator}, images, of_new, of_known, side)
        made = in_whole_hu(made, config.data.window)
        prior = jnp.mean(jnp.square(jnp.concatenate([*deviations.values()])))
        gaps = [target.weight * _gap(target, made) for target in targets]
        return sum(gaps, _PRIOR / 2 * prior)

    deviations: Rows = {name: jnp.zeros_like(scale) for name, scale in free.items()}
    steps = jnp.asarray(styles - styles[of])
    descend = jax.jit(jax.value_and_grad(loss))
    nearest = min(steps, key=lambda step: float(descend(deviations, step)[0]))
    optimizer = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, _STEPS), b2=0.99)
    state = optimizer.init(deviations)
    for _ in range(_STEPS):
        _, slope = descend(deviations, nearest)
        updates, state = optimizer.update(slope, state)
        deviations = optax.apply_updates(deviations, updates)  # pyright: ignore[reportAssignmentType]
    return rows_of(deviations, nearest)
