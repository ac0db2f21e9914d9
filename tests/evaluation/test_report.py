import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from jaxharmo.evaluation.metrics import BY_NAME, METRICS, gain
from jaxharmo.evaluation.report import tables
from jaxharmo.evaluation.sentence import verdict_sentence
from jaxharmo.evaluation.summary import best_baseline
from jaxharmo.pages import plots

HOSTILE = '<script>alert(1)</script> & "Co"'


def parsed(figure):
    """The SVG of a figure, which must be well-formed, and the positions of its marks."""
    tree = ElementTree.fromstring(figure)
    width, height = (float(tree.find("svg").get(side)) for side in ("width", "height"))
    for mark in tree.iter():
        for name, limit in (("cx", width), ("x", width), ("x1", width), ("cy", height)):
            assert 0 <= float(mark.get(name, 0)) <= limit
    return tree


def test_plots_are_well_formed_whatever_they_hold():
    dots = [
        plots.Dot(HOSTILE, "#111", 5.0, 4.0, 7.0),
        plots.Dot("negative", "#222", -3.0),
        plots.Dot("unknown", "#333", math.nan),
    ]
    tree = parsed(plots.dot_plot(HOSTILE, "HU", dots, floor=1.0))
    circles = [float(mark.get("cx")) for mark in tree.iter("circle")]
    assert len(circles) == 2
    assert circles[0] > circles[1]
    assert HOSTILE in [mark.text for mark in tree.iter("text")]
    assert plots.dot_plot("none", "", [plots.Dot("a", "#222", math.nan)]) == ""
    x = np.array([1.0, 2, 3, 4])
    curves = [
        plots.Curve(HOSTILE, "#111", x, np.array([1e7, 1e3, np.nan, 1e-2])),
        plots.Curve("flat", "#222", x, np.full(4, 5.0), dashed=True),
        plots.Curve("nothing", "#333", x, np.full(4, np.nan)),
    ]
    for logarithmic in (False, True):
        tree = parsed(plots.curve_plot("a", "b", curves, logarithmic=logarithmic))
        assert len(list(tree.iter("polyline"))) == 2
    tree = parsed(plots.change_plot("a", ["f", HOSTILE], [2.0, -1.0], [0.5, -3.0], "g"))
    assert len(list(tree.iter("circle"))) == 4
    grid = np.array([[1.0, -2.0], [np.nan, 0.0]])
    tree = parsed(plots.grid_plot("a", ("r", "s"), ("c", "d"), grid))
    assert [mark.text for mark in tree.iter("text")][-2:] == ["—", "+0"]


def test_figures_have_one_name_and_one_reading():
    assert len(BY_NAME) == len(METRICS)
    assert all(figure.reading and figure.title for figure in METRICS)
    assert set(tables.HEADLINES) <= set(BY_NAME)


@pytest.mark.parametrize(
    ("figure", "before", "after", "goal", "nearer"),
    [
        ("rmse_hu", 20.0, 15.0, None, 5.0),
        ("ssim_truth", 0.9, 0.8, None, -0.1),
        ("domain_auc", 1.0, 0.4, None, 0.4),
        ("edge_iou", 1.0, 0.8, 0.75, 0.2),
        ("laa950", 3.0, 8.0, 5.0, -1.0),
    ],
)
def test_gain_knows_which_way_is_good(figure, before, after, goal, nearer):
    assert gain(BY_NAME[figure], before, after, goal) == pytest.approx(nearer)
    assert math.isnan(gain(BY_NAME["laa950"], before, after, None))


def test_the_best_baseline_is_an_image_and_the_best():
    scores = {"before": 1.0, "after": 0.1, "histogram": 9.0, "spectral": 3.0, "combat": 0.0}
    assert best_baseline(scores, "rmse_hu") == ("spectral", 3.0)
    assert best_baseline(scores, "ssim_truth") == ("histogram", 9.0)
    assert best_baseline({"after": 1.0, "histogram": None}, "rmse_hu") is None


def test_a_verdict_escapes_names_and_shows_no_figure_as_a_dash():
    pair = {"source": HOSTILE, "target": "B", "target_values": {"laa950": 5.0}}
    scores = {
        "rmse_hu": {"before": 20.0, "after": 10.0, "spectral": 8.0, "ceiling": 0.0},
        "laa950": {"before": 3.0, "after": None},
    }
    domains = [{"name": HOSTILE}, {"name": "B"}]
    page = tables.verdict(
        {"domains": domains, "pairs": [pair | {"scores": scores}], "mean": scores}
    )
    assert "<script" not in page
    assert "20.0 → 10.0<small>[spectral 8.0]</small><small>(ceiling 0.0)</small>" in page
    assert page.count('class="better"') == 1
    assert "<span>—</span>" in page


def table_rows(markup):
    tree = ElementTree.fromstring(f"<div>{markup.replace('&nbsp;', '')}</div>")
    return [list(row) for row in tree.iter("tr")]


def test_every_cell_comes_with_its_head_for_narrow_screens():
    rows = table_rows(
        tables.table(
            ["name", "a<small>HU</small>", "b"],
            [tables.Row(tables.Cell("x"), [tables.Cell("1"), tables.Cell("2", "worse")])],
        )
    )
    assert [cell.get("data-label") for cell in rows[1][1:]] == ["a HU", "b"]
    assert rows[1][2].get("class") == "worse"


def test_figures_that_are_many_are_in_several_tables():
    names = [figure.name for figure in METRICS][:20]
    pair = {"scores": {name: {"before": 1.0, "after": 2.0} for name in names}, "intervals": {}}
    titles = {"before": "source as it is", "after": "model"}
    markup = tables.methods_table(pair, titles, ["after"], lambda figure: True)
    heads = [row for row in table_rows(markup) if row[0].text == "method"]
    assert len(heads) == 3
    assert max(len(row) for row in heads) <= 10
    assert sum(len(row) - 1 for row in heads) == 20


def evaluated(pairs, split="test"):
    names = sorted({pair[end] for pair in pairs for end in ("source", "target")})
    return {"split": split, "domains": [{"name": name} for name in names], "pairs": pairs}


def pair_of(source, target, scores):
    return {"source": source, "target": target, "slices": 16, "paired": 16, "scores": scores}


GOOD = {
    "rmse_hu": {"before": 33.85, "after": 2.15, "spectral": 3.27, "spectral_paired": 2.14},
    "lung_dice": {"after": 0.999, "ceiling": 0.999},
    "edges": {"after": 0.99, "ceiling": 0.99},
}


def test_the_verdict_is_one_sentence_of_measured_figures():
    first, second = "PHANTOM Ellipse -- B70f", "PHANTOM Ellipse -- B30f"
    assert verdict_sentence(evaluated([pair_of(first, second, GOOD)])) == (
        "On 16 unseen slices, B70f → B30f: error 33.9 → 2.1 HU, better than the best filter "
        "without pairs (3.3), equal to the filter fitted on pairs (2.1), anatomy unchanged "
        "(lung Dice 0.999)."
    )


def test_the_verdict_is_honest_where_the_model_is_worse():
    bad = GOOD | {
        "rmse_hu": {"before": 5.0, "after": 9.0, "histogram": 4.0},
        "lung_dice": {"after": 0.91, "ceiling": 0.99},
    }
    said = verdict_sentence(evaluated([pair_of("a", "b", GOOD), pair_of("b", "a", bad)], "train"))
    assert said.startswith("On 32 translations of slices of the split 'train' in 2 directions: ")
    assert "anatomy changed in 1 of 2 directions (lung Dice 0.910 or more)" in said
    worse = verdict_sentence(evaluated([pair_of("b", "a", bad)]))
    assert "error 5.0 → 9.0 HU, worse than the source as it is, worse than histogram" in worse


def test_the_verdict_does_without_pairs_and_without_figures():
    unpaired = {"fd_lite0_texture": {"before": 70.0, "after": 3.0, "spectral": 2.0}}
    said = verdict_sentence(evaluated([pair_of("a", "b", unpaired)]))
    assert "texture distance (FD-Lite0) 70.0 → 3.0, worse than the best filter" in said
    assert "anatomy" not in said
    assert "No figure" in verdict_sentence(evaluated([pair_of("a", "b", {})]))
