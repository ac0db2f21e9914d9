"""The state of a training run: everything that a step reads and writes."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxharmo.config import Config
from jaxharmo.models.networks import AVERAGED, Networks, Params, init
from jaxharmo.training.optim import Optimizers
from jaxharmo.training.terms import Changes, empty_changes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Parameters, their average and the optimizers' state, each a dict by network.

    No random key: the keys of a step are ``fold_in(key(seed), step)``.
    """

    step: jax.Array
    params: Params
    ema: Params
    opt_state: dict
    changes: Changes
    """Running sums of the change losses."""


def init_state(networks: Networks, optimizers: Optimizers, config: Config) -> TrainState:
    """The state before the first step."""
    params = init(networks, config, jax.random.key(config.train.seed))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema={name: jax.tree.map(jnp.copy, params[name]) for name in AVERAGED},
        opt_state={name: optimizers[name].init(params[name]) for name in params},
        changes=empty_changes(config),
    )


def update_average(ema: Params, params: Params, decay: float) -> Params:
    """``decay · average + (1 - decay) · parameters`` for the averaged networks."""
    blend = lambda average, value: average + (1 - decay) * (value - average)  # noqa: E731
    return {name: jax.tree.map(blend, ema[name], params[name]) for name in ema}
