"""``lidc_texture`` without its texture loss: plain StarGAN v2, to tell what the loss brings.

    python train.py --config configs/lidc_baseline.py --data SHARDS --workdir runs/lidc_baseline

Needs no more memory than that. Not yet trained to the end by us, so there is no result to expect.
"""

import dataclasses

import lidc_texture

from jaxharmo.config import Config


def get_config() -> Config:
    """The published configuration, texture weight 0."""
    published = lidc_texture.get_config()
    return dataclasses.replace(published, loss=dataclasses.replace(published.loss, texture=0.0))
