import itertools
import json

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from small import TINY, replace

from jaxharmo.losses.changes import Memory
from jaxharmo.training.page import PAGE, write_page
from jaxharmo.training.terms import same_scanner
from jaxharmo.training.weights import measured_weights

HOSTILE = '<script>alert(1)</script>"'


def folder(tmp_path, rows, pictures=()):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "samples").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(lines)
    for step in pictures:
        pixels = np.full((12, 20), step, np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "samples" / f"translations-{step:07d}.png")
    return tmp_path


def config(**data):
    return replace(TINY, data={"domains": ("a", "b", HOSTILE)} | data)


def test_the_page_shows_what_the_folder_holds_up_to_its_step(tmp_path):
    rows = [
        {"step": step, "generator/latent/cycle": 1 / step, "x/cycle": 2.0} for step in (1, 2, 3)
    ]
    workdir = folder(tmp_path / "<b>run", rows, (1, 2, 9))
    (workdir / "samples" / "translations-0000003.png").write_bytes(b"damaged")
    write_page(workdir, 3, config(), {})
    page = (workdir / PAGE).read_text()
    assert "<script>alert" not in page
    assert "<b>run" not in page
    assert page.count("<polyline") == 2
    assert "step 1&quot;" in page
    assert "step 2&quot;" in page
    assert "step 9" not in page
    assert page.count("<script") == 2


def test_a_page_without_curves_and_pictures_says_so(tmp_path):
    write_page(folder(tmp_path, []), 0, config(), {})
    assert (tmp_path / PAGE).read_text().count("None yet.") == 2


def test_texture_weights_are_a_picture_and_others_a_curve(tmp_path):
    texture = np.arange(4 * 16) / (4 * 16)
    write_page(folder(tmp_path, []), 0, config(), {"texture": texture, "spectrum": np.ones(23)})
    page = (tmp_path / PAGE).read_text()
    assert page.count("<rect") == 4 * 16
    assert f">{texture[-1]:.2f}</text>" in page
    assert "contrast, detail 4" in page
    assert page.count("<polyline") == 1


def test_weights_are_those_of_the_loss():
    names = ("SIEMENS A -- B30f", "SIEMENS A -- B70f", "GE B -- LUNG")
    settings = replace(TINY, data={"domains": names}, loss={"spectrum": 1.0})
    random = np.random.default_rng(0)
    memory = Memory(
        *(
            jnp.asarray(random.uniform(1, 2, each.shape))
            for each in vars(Memory.empty(3, 23)).values()
        )
    )
    found = measured_weights({"spectrum": memory, "histogram": Memory.empty(3, 56)}, settings)
    assert set(found) == {"spectrum"}
    assert found["spectrum"].mean() == pytest.approx(1, rel=1e-5)
    # By hand, a pair at a time.
    pairs = [(s, t) for s, t in itertools.permutations(range(3), 2)]
    together = same_scanner(settings)
    expected = []
    for s, t in pairs:
        variance = memory.change_noise[s, t] + (1 - together[s, t]) * memory.anatomy[s, t]
        share = 1 / (variance + 1e-2)
        expected.append(share / share.sum() * 23)
    np.testing.assert_allclose(found["spectrum"], np.mean(expected, axis=0), rtol=1e-5)


def test_no_weights_before_the_first_translation():
    settings = replace(TINY, data={"domains": ("a", "b", "c")}, loss={"spectrum": 1.0})
    assert measured_weights({"spectrum": Memory.empty(3, 23)}, settings) == {}
