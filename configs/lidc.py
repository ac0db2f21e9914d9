"""Our recipe at full size: kernels and scanners of a large collection, such as LIDC-IDRI.

    python train.py --config configs/lidc.py --data SHARDS --workdir runs/lidc

Networks and losses of ``configs/demo.py``, 512×512, batch 8, 20,000 steps. Not yet trained to the
end by us, so there is no result to expect; ``jaxharmo plan --config lidc --on MACHINE`` says what a
step takes.
"""

import dataclasses

import demo

from jaxharmo.config import Config

STEPS = 20_000


def get_config() -> Config:
    """The config, for all domains of the shards."""
    config = demo.get_config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, crop=512, crop_position="center"),
        model=dataclasses.replace(config.model, width=16, max_width=64, style_dim=32),
        optim=dataclasses.replace(
            config.optim,
            learning_rate=1e-3,
            mapping_learning_rate=1e-3,
            cosine_steps=STEPS,
            ema=0.999,
        ),
        train=dataclasses.replace(
            config.train,
            steps=STEPS,
            batch_size=8,
            sample_every=2_000,
            checkpoint_every=1_000,
        ),
    )
