"""One model for the kernels of two scanners, learned unpaired from ten to fourteen slices each.

    jaxharmo prepare DICOM_DIR SHARDS --split-gap 2
    python train.py --config configs/kernel_pairs.py --data SHARDS --workdir runs/kernel_pairs

The published networks, fitted to what separates kernels of one scanner: a generator that filters
the slice, steered by the difference of two styles, one style a domain; and losses on what
translation changes, against how the domains differ. What was tried, and the result on slices that
were not trained on: ``docs/kernel_pairs.md``.
"""

from jaxharmo.config import (
    Config,
    DataConfig,
    EvalConfig,
    FilterGenerator,
    LossConfig,
    ModelConfig,
    OptimConfig,
    TextureConfig,
    TrainConfig,
)

DOMAINS = (
    "Philips Brilliance16 -- B",
    "Philips Brilliance16 -- L",
    "SIEMENS Sensation 10 -- B40f",
    "SIEMENS Sensation 10 -- B70f",
)


def get_config() -> Config:
    """The config; for other kernels, name other domains."""
    return Config(
        # Bone cut at 400 HU is not what a filter leaves of it.
        data=DataConfig(domains=DOMAINS, window=(-1024.0, 1500.0), crop=128),
        model=ModelConfig(
            generator=FilterGenerator(knots=16, in_mm=True, residual_width=8),
            sees="detail",
            width=8,
            max_width=32,
            style_dim=8,
            latent_dim=0,
            mapping_width=32,
        ),
        texture=TextureConfig(compare="changes", aggregation="noise"),
        loss=LossConfig(
            adversarial=0.0,
            style=0.0,
            diversity=0.0,
            cycle=10.0,
            texture=1.0,
            spectrum=1.0,
            histogram=1.0,
        ),
        optim=OptimConfig(
            learning_rate=6e-3,
            mapping_learning_rate=6e-3,
            cosine_steps=1200,
            weight_decay=0.0,
            ema=0.99,
        ),
        train=TrainConfig(
            steps=1200, batch_size=8, log_every=50, sample_every=600, checkpoint_every=200
        ),
        eval=EvalConfig(window=(-1024.0, 400.0), guidance="latent"),
    )
