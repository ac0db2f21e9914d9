"""The embedded demo: three kernels of one scanner, on a phantom that the run makes for itself.

    python train.py

Five minutes on two CPU cores. All networks and losses of StarGAN v2 with the texture loss: those of
``configs/kernel_pairs.py``, and styles that vary within a domain, as the phantom's patients have
half to twice the usual dose. To expect: the HU error falls by nine tenths, and translations are as
noisy as their references within a tenth.
"""

import dataclasses

import kernel_pairs

from jaxharmo.config import Config

STEPS = 400


def get_config() -> Config:
    """The demo's config."""
    config = kernel_pairs.get_config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, domains=()),
        model=dataclasses.replace(config.model, latent_dim=1),
        loss=dataclasses.replace(config.loss, adversarial=0.1, style=4.0, spread=1.0),
        optim=dataclasses.replace(config.optim, cosine_steps=STEPS),
        train=dataclasses.replace(
            config.train,
            steps=STEPS,
            batch_size=4,
            guidance="mixed",
            sample_every=STEPS // 2,
            checkpoint_every=100,
        ),
    )
