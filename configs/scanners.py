"""Between scanners that differ in pixel, dose, voltage and calibration, learned unpaired.

    jaxharmo benchmark scanners WORKDIR --config scanners

The losses of ``configs/kernel_pairs.py``, and one on the mean levels of tissues, which shifts them
by offsets of their own. No residual network: between scanners, no loss keeps it from shifting
levels as well. Results, and what else was tried: ``docs/benchmark.md``.
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
        model=dataclasses.replace(
            config.model, generator=FilterGenerator(residual_width=0, calibration=True)
        ),
        loss=dataclasses.replace(config.loss, levels=1.0),
        optim=dataclasses.replace(config.optim, cosine_steps=STEPS, ema=0.98),
        train=dataclasses.replace(config.train, steps=STEPS, batch_size=4),
    )
