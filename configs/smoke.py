"""A few hundred steps of the demo's networks on your own shards, to see that all of it runs.

    jaxharmo prepare DICOM_DIR SHARDS
    python train.py --config configs/smoke.py --data SHARDS --workdir runs/smoke

Trains on two CPU cores in minutes. For a result, raise ``train.steps`` and
``optim.cosine_steps``.
"""

import dataclasses

import demo

from jaxharmo.config import Config


def get_config() -> Config:
    """The demo's config, shorter."""
    config = demo.get_config()
    rhythm = dataclasses.replace(config.train, steps=300, checkpoint_every=50, sample_every=150)
    optim = dataclasses.replace(config.optim, cosine_steps=rhythm.steps)
    return dataclasses.replace(config, optim=optim, train=rhythm)
