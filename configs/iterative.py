"""Between filtered back-projection and iterative reconstruction of one scanner, learned unpaired.

    jaxharmo benchmark nonlinear WORKDIR --config iterative

The model of ``configs/kernel_pairs.py``, with gains that depend on the detail around a pixel, since
iterative reconstruction spares edges; and a loss on how that detail is distributed.
"""

import dataclasses

import kernel_pairs

from jaxharmo.config import Config, FilterGenerator

STEPS = 600


def get_config() -> Config:
    """The config; all domains of the data."""
    config = kernel_pairs.get_config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, domains=()),
        model=dataclasses.replace(config.model, generator=FilterGenerator(local_gains=True)),
        loss=dataclasses.replace(config.loss, activity=1.0),
        optim=dataclasses.replace(config.optim, cosine_steps=STEPS, ema=0.98),
        train=dataclasses.replace(config.train, steps=STEPS, batch_size=4),
    )
