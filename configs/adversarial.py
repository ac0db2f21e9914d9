"""The published losses on the demo's phantom: adversarial training, style codes, texture loss.

    python train.py --config configs/adversarial.py

Six to ten minutes on two CPU cores. To expect: towards a smoother kernel the HU error falls by a
third to two thirds and the Fréchet distance of texture features by 70 % and more; towards a sharper
one neither, in so few steps. ``configs/demo.py`` does better on both.

The networks are StarGAN v2's, fitted to the task: kernels change fine detail of a few hundredths of
the window and nothing else, so the generator works at full resolution (a downsampling would lose
what it has to change), adds to its input, and sees detail enlarged; and a kernel has one style, so
there is no diversity to reward.
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


def get_config() -> Config:
    """The config."""
    return Config(
        data=DataConfig(crop=64),
        model=ModelConfig(
            width=16,
            max_width=64,
            downsamples=0,
            bottleneck=2,
            style_dim=16,
            mapping_width=64,
            residual=True,
            detail_gain=10.0,
            instance_norm=False,
        ),
        texture=TextureConfig(compare="reference", aggregation="attention"),
        loss=LossConfig(r1=0.05, diversity=0.0, cycle=10.0, texture=0.1),
        optim=OptimConfig(learning_rate=3e-4, mapping_learning_rate=3e-6, ema=0.99),
        train=TrainConfig(
            steps=600, batch_size=8, log_every=50, sample_every=300, checkpoint_every=100
        ),
    )
