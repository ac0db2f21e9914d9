"""The change losses: descriptions against literal forms, and where their gradients lead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxharmo.losses.changes import BANDS, LEVELS, Changes, change_losses, describe, remember
from jaxharmo.ops.blur import binomial_blur
from jaxharmo.ops.spectrum import radial_power
from jaxharmo.runtime import make_mesh, to_global

SIDE, BATCH = 64, 16
SAME = jnp.ones((2, 2))


def noise(seed, scale=0.1, count=BATCH):
    return scale * jax.random.normal(jax.random.key(seed), (count, SIDE, SIDE, 1))


def smooth(images):
    return binomial_blur(binomial_blur(images))


def history(translate, steps=40):
    """The sums after steps from noise (domain 0) to smoothed noise (domain 1)."""
    changes = Changes.empty(2)
    first, second = jnp.zeros(BATCH, int), jnp.ones(BATCH, int)

    def add(step, changes):
        source, *references = (noise(3 * step + k) for k in range(3))
        references = tuple(smooth(image) for image in references)
        return remember(changes, source, first, references, second, translate(source))

    return jax.jit(lambda changes: jax.lax.fori_loop(0, steps, add, changes))(changes)


def losses(images, changes, same=SAME):
    first, second = jnp.zeros(len(images), int), jnp.ones(len(images), int)
    return change_losses(images, first, second, changes, same)


def test_radial_power_against_a_fourier_transform():
    image = np.asarray(noise(0, count=1), np.float64)[0, :, :, 0]
    window = np.sin(np.pi * (np.arange(SIDE) + 0.5) / SIDE) ** 2
    window = np.outer(window, window)
    spectrum = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE)] * 2))
    ends = ((np.arange(BANDS) + 2) / (BANDS + 1)) ** 1.5 * np.sqrt(0.5)
    found = np.asarray(radial_power(jnp.asarray(image[None]), BANDS))[0]
    low = 0.0
    for number, high in enumerate(ends):
        inside = (frequency >= low) & (frequency < high + 1e-9 * (number == BANDS - 1))
        np.testing.assert_allclose(found[number], spectrum[inside].mean(), rtol=1e-4)
        low = high


def test_white_noise_has_its_variance_in_every_band():
    power = np.asarray(radial_power(noise(0, count=256)[..., 0], BANDS)).mean(0)
    np.testing.assert_allclose(power[1:], 0.01, rtol=0.05)


def test_shares_add_up_to_one_image():
    shares = describe(noise(0, scale=1.0))[:, BANDS:]
    assert shares.shape == (BATCH, LEVELS)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)


def test_the_right_translation_closes_the_gaps_and_others_do_not():
    right, none = history(smooth), history(lambda images: images)
    for name, least in (("spectrum", 5), ("histogram", 3)):
        closed, open_ = (float(losses(smooth(noise(99)), each)[name][1]) for each in (right, none))
        assert open_ > least * closed, name
    assert float(losses(smooth(noise(99)), right)["spectrum"][1]) < 0.06


@pytest.mark.parametrize(("scale", "sign"), [(1.5, 1), (0.6, -1)])
def test_too_much_power_is_pulled_down_and_too_little_up(scale, sign):
    changes = history(lambda images: scale * smooth(images))

    def loss(factor):
        return losses(factor * scale * smooth(noise(99)), changes)["spectrum"][0]

    assert sign * float(jax.grad(loss)(1.0)) > 0.1


def test_a_shift_is_pulled_back_between_kernels_of_one_scanner_only():
    changes = history(lambda images: smooth(images) + 0.05)

    def loss(shift, same):
        return losses(smooth(noise(99)) + 0.05 + shift, changes, same)["histogram"][0]

    assert float(jax.grad(loss)(0.0, SAME)) > 0.1
    assert float(jax.grad(loss)(0.0, jnp.eye(2))) == 0


def test_the_sums_are_constants_of_the_gradient():
    changes = history(smooth, steps=2)

    def loss(changes):
        return sum(loss for loss, _ in losses(smooth(noise(99)), changes).values())

    assert not any(np.any(g) for g in jax.tree.leaves(jax.grad(loss)(changes)))


def test_a_batch_on_eight_devices_needs_sums_alone():
    batch = {
        "source": np.asarray(noise(0)),
        "translation": np.asarray(noise(1)),
        "first": np.arange(BATCH) % 2,
        "second": np.arange(BATCH) // 2 % 2,
    }

    def step(batch, changes):
        domains = batch["first"], batch["second"]
        changes = remember(
            changes,
            batch["source"],
            domains[0],
            (batch["source"], batch["translation"]),
            domains[1],
            batch["translation"],
        )

        def total(images):
            found = change_losses(images, *domains, changes, SAME)
            return sum(loss for loss, _ in found.values())

        return changes, jax.grad(total)(batch["translation"])

    placed = to_global(make_mesh(), batch)
    compiled = jax.jit(step).lower(placed, Changes.empty(2)).compile()
    text = compiled.as_text()
    assert "all-reduce" in text
    assert "all-gather" not in text
    assert "all-to-all" not in text
    for one, many in zip(
        jax.tree.leaves(jax.jit(step)(batch, Changes.empty(2))),
        jax.tree.leaves(compiled(placed, Changes.empty(2))),
        strict=True,
    ):
        np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-6)
