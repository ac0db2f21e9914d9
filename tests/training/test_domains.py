"""The domains' means before the first step, against one description of all crops at once."""

import jax.numpy as jnp
import numpy as np
from small import TINY, replace

from jaxharmo.losses.descriptors import DESCRIPTORS
from jaxharmo.ops.intensity import normalize
from jaxharmo.training.domains import describe_domains
from jaxharmo.training.terms import empty_changes

CONFIG = replace(
    TINY,
    data={"domains": ("a", "b"), "crop": 64},
    texture={"compare": "changes", "aggregation": "mean", "normalization": "relative"},
    loss={"texture": 1.0, "spectrum": 1.0, "histogram": 1.0, "activity": 1.0},
)


def crops_of(domain):
    random = np.random.default_rng(domain)
    return random.normal(40 * domain, 30 + 20 * domain, (21, 64, 64)).astype(np.int16)


def test_means_and_variances_are_those_of_all_crops():
    described = describe_domains(CONFIG, crops_of)
    assert set(described) == set(DESCRIPTORS)
    for name, memory in described.items():
        for domain in (0, 1):
            images = normalize(jnp.asarray(crops_of(domain)), CONFIG.data.window)[..., None]
            cells = np.asarray(DESCRIPTORS[name](CONFIG).describe(images), np.float64)
            np.testing.assert_allclose(memory.mean[domain], cells.mean(0), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(
                memory.variance_of_real[domain], cells.var(0), rtol=1e-3, atol=1e-5
            )
        assert not np.any(memory.change_count)


def test_shapes_are_those_that_the_step_is_compiled_for():
    described, empty = describe_domains(CONFIG, crops_of), empty_changes(CONFIG)
    for name in empty:
        for one, other in zip(
            vars(described[name]).values(), vars(empty[name]).values(), strict=True
        ):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_without_change_losses_no_crop_is_read():
    config = replace(
        CONFIG, loss={"texture": 0.0, "spectrum": 0.0, "histogram": 0.0, "activity": 0.0}
    )
    assert describe_domains(config, lambda domain: 1 / 0) == {}
