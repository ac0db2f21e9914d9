"""Passes of the networks in a step, counted by hand for what configs leave out."""

from small import SMALL, STEERED, replace

from jaxharmo.training.flops import network_passes


def test_the_four_updates_as_published():
    published = replace(SMALL, loss={"diversity": 0.0})
    # Generator: there and back in two updates, 3 passes each, and one fake of the discriminator's.
    assert network_passes(published) == {
        "generator": 13,
        "discriminator": 22,
        "style_encoder": 11,
        "mapping_network": 3,
    }


def test_diversity_translates_once_more_in_each_update():
    more, less = network_passes(SMALL), network_passes(replace(SMALL, loss={"diversity": 0.0}))
    added = {name: more[name] - less[name] for name in more}
    assert added == {"generator": 2, "discriminator": 0, "style_encoder": 1, "mapping_network": 1}


def test_what_is_left_out_is_not_counted():
    """The filter generator with one style a domain: translations there and back, and no more."""
    off = {"adversarial": 0.0, "style": 0.0, "diversity": 0.0}
    steered = replace(SMALL, model=STEERED, loss=off)
    assert network_passes(steered) == {"generator": 6, "mapping_network": 6}
    one_way = replace(
        steered, loss={"cycle": 0.0}, texture={"compare": "changes", "aggregation": "mean"}
    )
    assert network_passes(one_way) == {"generator": 3, "mapping_network": 6}
