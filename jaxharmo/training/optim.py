"""One Adam a network, as StarGAN v2 sets them."""

from collections.abc import Iterable

import optax

from jaxharmo.config import OptimConfig

Optimizers = dict[str, optax.GradientTransformation]


def build_optimizers(config: OptimConfig, names: Iterable[str]) -> Optimizers:
    """An optimizer for each network; the mapping network has a learning rate of its own."""
    return {name: _adam(config, name) for name in names}


def _adam(config: OptimConfig, name: str) -> optax.GradientTransformation:
    slow = name == "mapping_network"
    rate = config.mapping_learning_rate if slow else config.learning_rate
    adam = optax.scale_by_adam(b1=config.beta1, b2=config.beta2)
    decay = optax.add_decayed_weights(config.weight_decay)
    order = (decay, adam) if config.decay == "l2" else (adam, decay)
    steps = config.cosine_steps
    schedule = optax.cosine_decay_schedule(rate, steps) if steps else rate
    return optax.chain(*order, optax.scale_by_learning_rate(schedule))
