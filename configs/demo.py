"""The embedded demo: three kernels of one scanner, on a phantom that the run makes for itself.

    python train.py

Trains on two CPU cores.
"""

from jaxharmo.config import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    TextureConfig,
    TrainConfig,
)
from jaxharmo.ops.glcm import GlcmConfig


def get_config() -> Config:
    """The demo's config."""
    return Config(
        data=DataConfig(crop=64),
        model=ModelConfig(
            width=16,
            max_width=64,
            downsamples=1,
            bottleneck=1,
            style_dim=16,
            mapping_width=64,
            residual=True,
            detail_gain=10.0,
            instance_norm=False,
        ),
        texture=TextureConfig(glcm=GlcmConfig(levels=128), compare="both", aggregation="mean"),
        loss=LossConfig(diversity_steps=400, texture=1.0),
        optim=OptimConfig(learning_rate=5e-4, mapping_learning_rate=5e-5, ema=0.99),
        train=TrainConfig(
            steps=400, batch_size=8, log_every=20, sample_every=200, checkpoint_every=200
        ),
    )
