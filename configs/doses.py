"""Styles within a domain: kernels of one scanner, patients at doses of a half to twice the usual.

    jaxharmo phantom SHARDS --doses 1 0.5 2 0.7 1.4
    python train.py --config configs/doses.py --data SHARDS --workdir runs/doses

The demo's networks and losses with mapping network, style encoder and discriminator in the step. A
style has one number for the noise, read off references or drawn from latents. To expect: most
translations are as noisy as their references within a tenth, and drawn ones as noisy as the domain.
"""

import dataclasses

import demo

from jaxharmo.config import Config

STEPS = 400


def get_config() -> Config:
    """The config; it needs shards in which dose or the size of patients spreads the noise."""
    config = demo.get_config()
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, latent_dim=1),
        loss=dataclasses.replace(config.loss, adversarial=0.1, style=4.0, spread=1.0),
        optim=dataclasses.replace(config.optim, cosine_steps=STEPS),
        train=dataclasses.replace(
            config.train, steps=STEPS, guidance="mixed", checkpoint_every=STEPS
        ),
    )
