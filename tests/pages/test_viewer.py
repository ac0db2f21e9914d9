import json
import re

import numpy as np
import pytest
from browsing import Opened

from jaxharmo.pages.document import page
from jaxharmo.pages.slices import SliceStore
from jaxharmo.pages.viewer import Layer, viewer

HOSTILE = "\"'><script>alert(1)</script>"
SIDE = 64
SLICES = 4


def hu_of(layer, index):
    """One value all over a slice, but for a corner; window [-1000, 1000]."""
    hu = np.full((SIDE, SIDE), -800.0 + 200 * index + 600 * layer)
    hu[:4, :4] = 500
    return hu


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    store = SliceStore()
    layers = []
    for number, name in enumerate(("source", "result")):
        slices = []
        for index in range(SLICES):
            near = [layers[0].slices[index]] if layers else []
            slices.append(store.add(hu_of(number, index), near))
        layers.append(Layer(name, slices))
    captions = [f"at {index} mm" for index in range(SLICES)]
    part = viewer(layers, captions, (-1000.0, 1000.0), (1.0, 1.0), "<p>still here</p>")
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page("viewer", f"{part}<div style='height: 3000px'></div>", store))
    return path


@pytest.fixture
def opened(browser, path):
    made = Opened(browser, path, width=800)
    made.wait_for_viewer()
    yield made
    assert made.errors == []
    assert made.requests == [path.as_uri()]
    made.page.close()


def grey(layer, index, window=(-1000, 1000)):
    share = (hu_of(layer, index)[-1, -1] - window[0]) / (window[1] - window[0])
    return pytest.approx([255 * min(max(share, 0), 1)] * 3, abs=1)


def test_names_are_escaped_and_stills_remain_without_scripts():
    part = viewer(
        [Layer(HOSTILE, [0]), Layer("b", [0])], [HOSTILE], None, (1.0, 1.0), "<p>still</p>"
    )
    assert "<script" not in part
    assert part.endswith('<div class="still"><p>still</p></div>')
    (data,) = re.findall('data-view="([^"]*)"', part)
    assert json.loads(data.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace(
        "&#x27;", "'"))["captions"] == [HOSTILE]  # fmt: skip
    whole = page(HOSTILE, part)
    assert "<script" not in whole


def test_the_wipe_parts_the_two_versions(opened):
    assert opened.grey(0.3) == grey(0, 2)
    assert opened.grey(0.7) == grey(1, 2)
    opened.range("Wipe").fill("80")
    assert opened.grey(0.7) == grey(0, 2)
    opened.press("Home")
    for _ in range(35):
        opened.press("ArrowLeft")
    assert opened.range("Wipe").input_value() == "10"
    assert opened.grey(0.3) == grey(1, 0)
    box = opened.page.locator(".viewer canvas").bounding_box()
    opened.page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 100)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 100)
    opened.page.mouse.up()
    opened.settle()
    assert opened.range("Wipe").input_value() == "60"


def test_windows_change_the_greys(opened):
    opened.page.get_by_role("button", name="Window: lung").click()
    assert opened.grey(0.3) == grey(0, 2, (-1350, 150))
    opened.press("2")
    assert opened.grey(0.7) == grey(1, 2, (-160, 240))
    assert opened.range("Width").input_value() == "400"
    opened.range("Level").fill("0")
    assert opened.grey(0.7) == grey(1, 2, (-200, 200))
    assert opened.page.locator("button[aria-pressed=true]").count() == 0


def test_slices_scroll_by_wheel_keys_and_slider(opened):
    assert opened.range("Slice").input_value() == "2"
    opened.page.locator(".viewer canvas").hover()
    opened.page.mouse.wheel(0, -60)
    opened.settle()
    assert opened.grey(0.3) == grey(0, 3)
    # At the end of the slices the page scrolls on.
    opened.page.mouse.wheel(0, 60)
    opened.press("ArrowDown")
    opened.press("ArrowDown")
    assert opened.grey(0.3) == grey(0, 0)
    opened.range("Slice").fill("1")
    assert opened.grey(0.7) == grey(1, 1)
    assert "2 of 4, at 1 mm" in opened.page.locator(".viewer").inner_text()


def test_values_are_read_under_the_pointer(opened):
    opened.page.locator(".viewer canvas").hover()
    opened.settle()
    text = opened.page.locator(".viewer .readout").inner_text()
    assert f"source {hu_of(0, 2)[-1, -1]:.0f} · result {hu_of(1, 2)[-1, -1]:.0f}" == (
        text.rpartition("HU: ")[2].replace("−", "-")
    )


def test_zoom_keeps_the_versions_in_step(opened):
    opened.press("s")
    opened.settle()
    # The corner fills a panel of each version once it is near enough.
    assert opened.grey(0.02, 0.02) == opened.grey(0.52, 0.02)
    for _ in range(12):
        opened.press("+")
    for _ in range(60):
        opened.press("Shift+ArrowLeft")
        opened.press("Shift+ArrowUp")
    for across in (0.2, 0.7):
        assert opened.grey(across, 0.3) == pytest.approx([255 * 0.75] * 3, abs=1)
    opened.press("0")
    assert opened.grey(0.2) == grey(0, 2)
    assert opened.grey(0.7) == grey(1, 2)


def test_differences_are_coloured(opened):
    opened.press("d")
    # A busy machine may take its time.
    opened.page.wait_for_function(
        "[...document.querySelectorAll('.viewer select')].at(-1).value === '20'"
    )
    assert opened.grey(0.3) == grey(0, 2)
    assert opened.grey(0.7) == [255, 60, 50]
    opened.page.locator(".viewer label:has-text('Left') select").select_option("1")
    opened.page.locator(".viewer label:has-text('Right') select").select_option("0")
    assert opened.grey(0.7) == [70, 130, 255]


def test_a_finger_moves_the_wipe(browser, path):
    opened = Opened(browser, path, width=400, has_touch=True)
    opened.wait_for_viewer()
    box = opened.page.locator(".viewer canvas").bounding_box()
    opened.page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + 60)
    opened.settle()
    assert opened.range("Wipe").input_value() == "25"
    assert opened.overflowing() == []
    opened.page.close()


def test_without_scripts_the_still_pictures_remain(browser, path):
    opened = Opened(browser, path, java_script_enabled=False)
    assert opened.page.get_by_text("still here").is_visible()
    assert not opened.page.locator(".viewer").is_visible()
    opened.page.close()


def test_damaged_slices_leave_the_still_pictures(browser, path, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(re.sub('"data": "[^"]*"', '"data": "AAAA"', path.read_text()))
    opened = Opened(browser, broken)
    opened.page.wait_for_timeout(300)
    assert opened.page.get_by_text("still here").is_visible()
    assert not opened.page.locator(".viewer").is_visible()
    assert opened.errors
    opened.page.close()
