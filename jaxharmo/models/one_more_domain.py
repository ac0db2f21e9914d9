"""The parameters of a model with a filter generator, with a domain added.

At each place, what such a generator does is linear in the style. So one more number of the style is
one more filter. It is 1 for the new domain and 0 for all others, whose translations into each other
stay as they are.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxharmo.models.networks import Params, leaf_name

Rows = Mapping[str, Float[Array, "n"]]
"""By the path of a layer of the generator: its weights for one number of the style."""

_GAINS = ("gain", "band_")
_OTHERS = ("offset", "correction")
"""First letters of the layers that take the style."""


def style_layers(generator: Any) -> dict[str, Float[Array, "s n"]]:
    """The weights of all layers that take the style, by their path."""
    return {
        leaf_name(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(generator)
        if path[-2].key.startswith(_GAINS + _OTHERS)
    }


def is_gain(name: str) -> bool:
    """Whether the values of a layer are logarithms of gains."""
    return name.split("/")[-2].startswith(_GAINS)


def with_number(generator: Any, rows: Rows) -> Any:
    """The generator for styles with one more number, in front; ``rows`` are the weights for it."""

    def longer(path: Any, leaf: Array) -> Array:
        name = leaf_name(path)
        return jnp.concatenate([rows[name][None], leaf]) if name in rows else leaf

    return jax.tree_util.tree_map_with_path(longer, generator)


def with_domain(params: Params, rows: Rows, of: int) -> Params:
    """The averaged parameters with a domain added at the end.

    Its style is that of the domain ``of``, but for the new number; so is its spread.
    """
    repeated = lambda leaf: jnp.concatenate([leaf, leaf[of][None]])  # noqa: E731
    mapping = jax.tree_util.tree_map_with_path(
        lambda path, leaf: repeated(leaf) if "DomainHead" in leaf_name(path) else leaf,
        params["mapping_network"],
    )
    table = repeated(mapping["table"]["embedding"])
    number = jax.nn.one_hot(jnp.array([len(table) - 1]), len(table)).T
    mapping["table"] = {"embedding": jnp.concatenate([number, table], axis=1)}
    return {
        "generator": with_number(params["generator"], rows),
        "mapping_network": mapping,
        "style_encoder": jax.tree.map(repeated, params["style_encoder"]),
    }
