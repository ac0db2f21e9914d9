"""Between scanners that differ in pixel, dose, voltage and calibration, learned unpaired.

    jaxharmo benchmark scanners WORKDIR --config scanners

The losses of ``configs/kernel_pairs.py``, and one on the mean levels of tissues, which shifts them
by offsets of their own. No residual network: between scanners, no loss keeps it from shifting
levels as well. Results, and what else was tried: ``docs/benchmark.md``.
"""

import dataclasses

import iterative

from jaxharmo.config import Config, FilterGenerator


def get_config() -> Config:
    """The config; all domains of the data, and as many steps as ``configs/iterative.py``."""
    config = iterative.get_config()
    generator = FilterGenerator(in_mm=True, residual_width=0, calibration=True)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, generator=generator),
        loss=dataclasses.replace(config.loss, activity=0.0, levels=1.0),
    )
