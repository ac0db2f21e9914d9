import base64
import csv
import dataclasses
import io
import json
import re

import numpy as np
import PIL.Image
import pytest
from blurred_domains import (
    CONFIG,
    SHARP,
    SIDE,
    SLICES,
    SOFT,
    STRANGE,
    blur_to_soft,
    write_shards,
)
from browsing import Opened
from scipy import ndimage

from jaxharmo.config import Config, DataConfig
from jaxharmo.errors import InputError
from jaxharmo.evaluation.evaluate import evaluate
from jaxharmo.evaluation.methods import Guidance
from jaxharmo.evaluation.metrics import BY_NAME
from jaxharmo.evaluation.summary import summary_table


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))


def run(translate, shards, output, config=CONFIG, report=lambda _: None):
    guide = lambda training: [Guidance("model", translate)]  # noqa: E731
    metrics = evaluate(guide, shards, config, output, model="step 3", report=report)
    return metrics, {(pair["source"], pair["target"]): pair for pair in metrics["pairs"]}


@pytest.fixture(scope="module")
def result(shards, tmp_path_factory):
    """The true blur from SHARP to SOFT, identity the other way."""
    output = tmp_path_factory.mktemp("run") / "eval" / "3"
    return *run(blur_to_soft, shards, output), output


def test_identity_is_neither_better_nor_worse(result):
    scores = result[1][SOFT, SHARP]["scores"]
    for name, methods in scores.items():
        if methods["before"] is not None:
            assert methods["after"] == pytest.approx(methods["before"], rel=1e-3, abs=1e-6), name
    assert scores["edges"]["after"] == scores["lung_dice"]["after"] == scores["ssim"]["after"] == 1
    assert scores["shift_hu_lung"]["after"] == 0


def test_the_true_blur_reaches_the_ceiling(result):
    pair = result[1][SHARP, SOFT]
    assert (pair["slices"], pair["paired"]) == (SLICES, SLICES)
    assert pair["patients"] == {"source": 2, "target": 2, "shared": 2}
    scores = pair["scores"]
    # What is left is the rounding of the shards to whole HU.
    assert scores["rmse_hu"]["after"] < 1 < 20 < scores["rmse_hu"]["before"]
    assert scores["fd_lite0_texture"]["after"] < 0.05 * scores["fd_lite0_texture"]["before"]
    # Not zero: the lung is found in the source, for the target domain in the target.
    effect = scores["radiomics_median_abs_g"]
    assert effect["after"] < 0.15 * effect["before"]
    assert scores["radiomics_significant"]["after"] == 0 < scores["radiomics_significant"]["before"]
    for name in ("glcm_gap", "power_gap", "mmd2", "frechet_radiomics"):
        assert scores[name]["after"] < 0.2 * scores[name]["before"], name
    for name in ("edges", "edge_iou", "ssim", "edge_preservation", "laa950"):
        assert scores[name]["after"] == pytest.approx(scores[name]["ceiling"], abs=0.01), name
    assert scores["ccc_median"]["after"] > 0.85 > 0.2 > scores["ccc_median"]["before"]
    low, high = pair["intervals"]["rmse_hu"]["before"]
    assert low < scores["rmse_hu"]["before"] < high


def test_baselines_stand_beside_the_model(result):
    metrics, pairs, _ = result
    scores = pairs[SHARP, SOFT]["scores"]["rmse_hu"]
    # A Gaussian blur is a linear filter: fitted on pairs it is found, on power it nearly is.
    assert scores["spectral_paired"] < 0.1 * scores["before"]
    assert scores["spectral"] < 0.5 * scores["before"]
    assert scores["histogram"] > 0.5 * scores["before"]
    assert scores["ceiling"] == 0
    effect = pairs[SHARP, SOFT]["scores"]["radiomics_median_abs_g"]
    assert effect["combat"] < 0.2 * effect["before"]
    assert list(metrics["methods"]) == [
        *("before", "after", "histogram", "spectral", "spectral_paired", "combat", "ceiling")
    ]


def test_files_hold_what_was_returned(result):
    metrics, pairs, output = result
    assert json.loads((output / "metrics.json").read_text()) == metrics
    assert [path.name for path in output.parent.iterdir()] == ["3"]
    rows = {
        name: list(csv.DictReader((output / f"{name}.csv").read_text().splitlines()))
        for name in ("fid", "radiomics", "edges", "texture", "scores")
    }
    # Two pairs; five methods and the ceiling make slices, ComBat has features alone.
    assert [len(rows[name]) for name in ("fid", "radiomics", "edges")] == [
        2 * 4 * 6,
        2 * 7 * 2 * 42,
        2 * 6 * SLICES,
    ]
    after = pairs[SHARP, SOFT]["scores"]["fd_lite0_texture"]["after"]
    (row,) = (
        row
        for row in rows["fid"]
        if (row["source"], row["distance"], row["method"]) == (SHARP, "fd_lite0_texture", "after")
    )
    assert float(row["value"]) == pytest.approx(after)
    assert {row["patient"] for row in rows["edges"]} == {"p0", "p1"}
    assert metrics["radiomics"] == {
        "engine": "native",
        "bin_width_hu": 25.0,
        "roi": "lung",
        "features": 42,
    }
    assert set(metrics["mean"]) - {"mmd_p", "permanova_p"} <= set(BY_NAME)


@pytest.mark.slow
def test_every_damage_is_caught_by_its_measure(shards, tmp_path):
    def erased(hu, of, to, _=None):
        """Vessels and nodules become lung."""
        lungs = np.stack([ndimage.binary_closing(each < -500, iterations=4) for each in hu])
        return np.where(lungs & (hu > -500), np.float32(-820), hu)

    few = dataclasses.replace(CONFIG.eval, max_slices=2, baselines=(), targets=(SOFT,))
    config = dataclasses.replace(CONFIG, eval=few)
    damages = {
        "displaced": lambda hu, *_: np.roll(hu, 1, -1),
        "shifted": lambda hu, *_: hu + 20,
        "erased": erased,
    }
    guide = lambda training: [Guidance(*each) for each in damages.items()]  # noqa: E731
    metrics = evaluate(guide, shards, config, tmp_path / "3", model="m", report=lambda _: None)
    names = dict(zip(damages, metrics["models"], strict=True))
    assert metrics["models"] == ["after", "after_2", "after_3"]
    (scores,) = (pair["scores"] for pair in metrics["pairs"])
    assert scores["edges"][names["displaced"]] < 0.8 < 0.85 < scores["edges"]["ceiling"]
    assert scores["shift_hu_soft_tissue"][names["shifted"]] == pytest.approx(20, abs=0.1)
    assert abs(scores["shift_hu_soft_tissue"][names["displaced"]]) < 2
    assert scores["edge_iou"][names["erased"]] < 0.9 * scores["edge_iou"]["ceiling"]
    assert scores["rmse_lung_hu"][names["erased"]] > scores["rmse_lung_hu"]["before"]


def test_unpaired_domains_and_hostile_names(result, shards, tmp_path):
    config = dataclasses.replace(CONFIG, data=DataConfig(domains=(SHARP, STRANGE)))
    output = tmp_path / "3"
    output.mkdir()
    (output / "stale.txt").touch()
    said = []
    metrics, pairs = run(blur_to_soft, shards, output, config, said.append)
    # What an earlier evaluation has measured on the first domain is there again.
    assert sum("found in" in line for line in said) == 1
    parts = re.findall(r"([a-zA-Z0-9 -]+) (\d+\.\d) s", said[-1])
    assert {"FD-Lite0", "structure", "statistics", "report"} < {name.strip() for name, _ in parts}
    (whole,) = re.findall(r"^time: (\d+\.\d) s: ", said[-1])
    assert float(whole) == pytest.approx(sum(float(s) for _, s in parts), abs=0.1 * len(parts))
    assert not (output / "stale.txt").exists()
    assert pairs[SHARP, STRANGE]["scores"]["rmse_hu"]["after"] is None
    assert "ceiling" not in pairs[SHARP, STRANGE]["scores"]["edges"]
    page = (output / "report.html").read_text()
    # Two: the viewer, and the slices that it shows.
    assert page.count("<script") == page.count("</script>") == 2
    assert page.count('class="viewer"') == page.count('class="still"') == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in page
    assert "http" not in page
    pictures = re.findall(r"data:image/webp;base64,([^\"]+)", page)
    # Per pair: source, translated, target, difference; edges; a patch of each of five.
    assert len(pictures) == 2 * (4 + 1 + 5)
    with PIL.Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as picture:
        assert max(picture.size) <= SIDE
    lines = summary_table(metrics).splitlines()
    assert max(map(len, lines)) <= 100
    assert "—" in lines[2]


def test_the_report_in_a_browser(result, browser):
    path = result[2] / "report.html"
    for width in (1280, 400):
        opened = Opened(browser, path, width)
        assert opened.overflowing() == []
        opened.wait_for_viewer()
        names = opened.page.locator(".viewer").first.locator("label:has-text('Left') option")
        assert names.all_inner_texts()[:3] == ["source", "translated", "truth"]
        assert "best baseline" in names.all_inner_texts()[3]
        opened.press("s")
        opened.settle()
        assert opened.page.locator(".viewer .tag").count() == 4
        assert opened.overflowing() == []
        assert opened.errors == []
        assert opened.requests == [path.as_uri()]


def test_verdict_of_long_names_fits_and_stays_distinct(result):
    metrics = json.loads(json.dumps(result[0]))
    for index, domain in enumerate(metrics["domains"]):
        domain["name"] = f"GE MEDICAL SYSTEMS {'LightSpeed ' * 4}{index} -- STANDARD PLUS EXTENDED"
    first, second = (domain["name"] for domain in metrics["domains"])
    metrics["pairs"][0] |= {"source": first, "target": second}
    metrics["pairs"][1] |= {"source": second, "target": first}
    for score in (metrics["pairs"][0]["scores"]["fd_lite0_texture"],):
        score |= {"before": 123456.7, "after": 98765.4}
    lines = summary_table(metrics).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[2].split("  ")[0] != lines[3].split("  ")[0]


def test_wrong_use_names_the_mend(shards, tmp_path):
    def attempt(translate=blur_to_soft, data=CONFIG.data, **changes):
        settings = dataclasses.replace(CONFIG.eval, **changes)
        run(translate, shards, tmp_path / "3", Config(data=data, eval=settings))

    with pytest.raises(InputError, match="'validation', an evaluation needs two"):
        attempt(split="validation")
    with pytest.raises(InputError, match="no domain 'B99'"):
        attempt(data=DataConfig(domains=("B99", SHARP)))
    with pytest.raises(InputError, match="1 of 1 domains"):
        attempt(data=DataConfig(domains=(SHARP,)))
    with pytest.raises(InputError, match="tile 128"):
        attempt(tile=128)
    with pytest.raises(InputError, match="not finite"):
        attempt(translate=lambda hu, *_: hu * np.nan)
    with pytest.raises(InputError, match=r"eval.targets: no domain 'B99'"):
        attempt(targets=("B99",))
    with pytest.raises(InputError, match="'B99' in this run"):
        attempt(domains=("B99", SHARP))
    with pytest.raises(InputError, match="no such file"):
        attempt(inception_weights=str(tmp_path / "none.pth"))
    assert not list(tmp_path.iterdir())
