"""StarGAN v2 with the multi-scale texture loss, as published (arXiv 1912.01865, 2403.16640).

    python train.py --config configs/lidc_texture.py --data SHARDS --workdir runs/lidc_texture

512×512, batch 8, 100,000 steps, HU window [-1024, 400], 256 levels on [-1, 1] with a Gaussian
assignment of σ = 0.5, on the central 256×256 pixels. On one GPU it needs 8.4 GB by
``jaxharmo plan`` with ``--train.compute-dtype bfloat16``. Not yet trained to the end by us, so
there is no result to expect.

Deviations from the published code are corrections: all 16 offsets have a gradient, every image has
its own grid, the attention is trained, and the loss is finite where images agree.
"""

from jaxharmo.config import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    PublishedGenerator,
    TextureConfig,
    TrainConfig,
)
from jaxharmo.ops.glcm import PUBLISHED


def get_config() -> Config:
    """The published configuration."""
    return Config(
        data=DataConfig(crop=512, crop_position="center", window=(-1024.0, 400.0)),
        model=ModelConfig(generator=PublishedGenerator(downsamples=5), width=32, max_width=512),
        texture=TextureConfig(
            glcm=PUBLISHED,
            compare="cycle",
            normalization="range",
            aggregation="attention",
            crop=256,
        ),
        loss=LossConfig(diversity_steps=100_000),
        optim=OptimConfig(learning_rate=1e-4, mapping_learning_rate=1e-6, decay="l2"),
        train=TrainConfig(steps=100_000, batch_size=8),
    )
