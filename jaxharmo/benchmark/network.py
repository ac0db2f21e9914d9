"""The network that is trained on pairs: what it adds to the filter that is fitted on pairs.

One network for all directions: dilated convolutions whose channels are scaled by the direction. The
filter (``evaluation/baselines.py``) is the best linear one. What depends on place and contrast, as
edge-preserving reconstruction does, is left to the network.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Real

from jaxharmo.ops.intensity import Window, normalize
from jaxharmo.ops.pyramid import DETAIL_GAIN, detail

Params = dict[str, Any]

_DILATIONS = (1, 1, 2, 4, 1)
_INPUTS = 6
"""Source and filtered image, and two bands of the detail of each."""
_UNIT = 0.05
"""Of the correction, in [-1, 1] units."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Size and training of the network."""

    steps: int = 1200
    batch_size: int = 4
    crop: int = 96
    """Side of the training crops, pixels."""
    width: int = 16
    """Channels of the convolutions."""
    learning_rate: float = 3e-3
    """At the start; it falls to zero along half a cosine."""

    def __post_init__(self) -> None:
        for name, least in {"steps": 1, "batch_size": 1, "crop": 16, "width": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"network.{name} must be at least {least}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError("network.learning_rate must be positive")


def first_params(config: NetworkConfig, directions: int, key: Array) -> Params:
    """Parameters before training, float32: nothing is added to the filtered image."""
    keys = jax.random.split(key, len(_DILATIONS))
    he_normal = jax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")
    channels = (_INPUTS, *[config.width] * len(_DILATIONS))
    return {
        "layers": [
            {
                "kernel": he_normal(each, (3, 3, channels[n], channels[n + 1])),
                "bias": jnp.zeros(channels[n + 1]),
                "scale": jnp.zeros((directions, channels[n + 1])),
            }
            for n, each in enumerate(keys)
        ],
        "last": jnp.zeros((directions, config.width)),
    }


def apply_network(
    params: Params,
    source: Real[Array, "b h w"],
    filtered: Real[Array, "b h w"],
    direction: Int[Array, "b"],
    window: Window,
) -> Float[Array, "b h w"]:
    """Slices of the targets of ``direction``, HU, from those of its sources.

    ``filtered`` are the sources under the filter of the direction; ``window`` is what is seen.
    """
    style = jax.nn.one_hot(direction, len(params["last"]))
    seen = []
    for hu in (source, filtered):
        image = normalize(hu, window)[..., None]
        seen += [image, *(DETAIL_GAIN * band for band in detail(image))]
    x = jnp.concatenate(seen, axis=-1)
    for layer, dilation in zip(params["layers"], _DILATIONS, strict=True):
        x = jax.lax.conv_general_dilated(
            x,
            layer["kernel"],
            (1, 1),
            "SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.leaky_relu((x + layer["bias"]) * (1 + style @ layer["scale"])[:, None, None])
    correction = _UNIT * jnp.einsum("bhwc,bc->bhw", x, style @ params["last"])
    return filtered + correction * ((window[1] - window[0]) / 2)
