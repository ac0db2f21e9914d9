"""Configs small enough to compile in seconds, shared by tests of models, training and commands."""

import dataclasses

import numpy as np

from jaxharmo.config import (
    Config,
    DataConfig,
    FilterGenerator,
    LossConfig,
    ModelConfig,
    OptimConfig,
    PublishedGenerator,
    TextureConfig,
    TrainConfig,
)
from jaxharmo.ops.glcm import GlcmConfig

SMALL = Config(
    data=DataConfig(crop=32, domains=("A", "B", "C")),
    model=ModelConfig(
        generator=PublishedGenerator(downsamples=1, bottleneck=1),
        width=4,
        max_width=8,
        style_dim=6,
        latent_dim=5,
        mapping_width=8,
    ),
    texture=TextureConfig(glcm=GlcmConfig(levels=16), compare="cycle", aggregation="attention"),
    loss=LossConfig(diversity_steps=10),
    optim=OptimConfig(learning_rate=1e-3, mapping_learning_rate=1e-4, weight_decay=0.0, ema=0.9),
    train=TrainConfig(
        steps=4, batch_size=8, log_every=1, sample_every=4, checkpoint_every=2, seed=3
    ),
)


STEERED = {
    "generator": FilterGenerator(knots=2, residual_width=2, local_gains=True),
    "sees": "detail",
    "latent_dim": 0,
}
"""Fields of ``model``: the filter generator, a domain of one style."""
FILTER_ALONE = STEERED | {"generator": FilterGenerator(knots=2, residual_width=0)}
"""The same without residual network and local gains."""


def replace(config, **sections):
    """``replace(SMALL, loss={"texture": 0.0})``: fields of sections, by name."""
    return dataclasses.replace(
        config,
        **{
            name: dataclasses.replace(getattr(config, name), **fields)
            for name, fields in sections.items()
        },
    )


TINY = replace(
    SMALL,
    data={"crop": 16},
    model={"generator": PublishedGenerator(downsamples=0, bottleneck=1)},
)
"""For tests that compile whole steps: its step compiles in two thirds of the time."""


def make_batch(config=SMALL, seed=0):
    random = np.random.default_rng(seed)
    size, batch = config.data.crop, config.train.batch_size

    def domains():
        return random.integers(len(config.data.domains), size=batch).astype(np.int32)

    def slices(*shape):
        return random.integers(-1024, 400, (*shape, size, size)).astype(np.int16)

    return {
        "source": slices(batch),
        "source_domain": domains(),
        "source_pixel": np.ones(batch, np.float32),
        "reference": slices(batch, 2),
        "target_domain": domains(),
    }


def get_config():
    """For ``train.py --config tests/small.py``: the domains are those of the shards."""
    return replace(SMALL, data={"domains": ()}, train={"batch_size": 4}, eval={"tile": 32})
