"""The network that is trained on pairs: the filter generator, and a convolutional correction.

One network for all directions. The filter generator (``models/filters.py``) has a style of its own
for every direction, and with it its own filters and offsets. What depends on place and contrast, as
edge-preserving reconstruction does, is left to a residual network of dilated convolutions whose
channels are scaled by the direction.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Real

from jaxharmo.models.filters import FilterGenerator
from jaxharmo.ops.intensity import Window, normalize
from jaxharmo.ops.pyramid import DETAIL_GAIN, detail

Params = dict[str, Any]

_DILATIONS = (1, 1, 2, 4, 1)
_INPUTS = 3
"""The image and two bands of its detail."""
_UNIT = 0.05
"""Of the correction, in [-1, 1] units."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Size and training of the network."""

    steps: int = 1200
    batch_size: int = 4
    crop: int = 96
    """Side of the training crops, pixels."""
    terms: int = 8
    """Terms of the filters' logarithmic gains."""
    width: int = 16
    """Channels of the convolutions."""
    learning_rate: float = 3e-3
    """At the start; it falls to zero along half a cosine."""

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch_size": 1, "crop": 16, "terms": 2, "width": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"network.{name} must be at least {value}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError("network.learning_rate must be positive")


def first_params(config: NetworkConfig, directions: int, key: Array) -> Params:
    """Parameters before training, float32: all that is added to the image is zero."""
    filter_key, *keys = jax.random.split(key, 1 + len(_DILATIONS))
    image, style = jnp.zeros((1, 16, 16, 1)), jnp.zeros((1, directions))
    variables: Any = FilterGenerator(config.terms, 0).init(filter_key, image, style, style)
    he_normal = jax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")
    channels = (_INPUTS, *[config.width] * len(_DILATIONS))
    return {
        "filters": variables["params"],
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
    config: NetworkConfig,
    params: Params,
    hu: Real[Array, "b h w"],
    direction: Int[Array, "b"],
    window: Window,
) -> Float[Array, "b h w"]:
    """Slices in HU of the sources of ``direction`` as those of its targets; ``window`` is seen."""
    image = normalize(hu, window)[..., None]
    style = jax.nn.one_hot(direction, len(params["last"]))
    filters: Any = FilterGenerator(config.terms, 0)
    made = filters.apply({"params": params["filters"]}, image, style, jnp.zeros_like(style))
    x = jnp.concatenate([image, *(DETAIL_GAIN * band for band in detail(image))], axis=-1)
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
    return (made[..., 0] + correction + 1) * ((window[1] - window[0]) / 2) + window[0]
