"""The embedded demo: three kernels of one scanner, on a phantom that the run makes for itself.

    python train.py

A few minutes on two CPU cores. The networks and losses are those of ``configs/kernel_pairs.py``.
"""

import dataclasses

import kernel_pairs

from jaxharmo.config import Config


def get_config() -> Config:
    """The demo's config."""
    config = kernel_pairs.get_config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, domains=()),
        optim=dataclasses.replace(config.optim, cosine_steps=600),
        train=dataclasses.replace(config.train, steps=600, sample_every=300, checkpoint_every=100),
    )
