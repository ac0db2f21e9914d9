import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from jaxharmo.evaluation.figures import BY_NAME, FIGURES, gain
from jaxharmo.evaluation.report import plots, tables
from jaxharmo.evaluation.verdict import best_baseline

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
        plots.Dot(HOSTILE, "before", 5.0, 4.0, 7.0),
        plots.Dot("negative", "after", -3.0),
        plots.Dot("unknown", "after_2", math.nan),
    ]
    tree = parsed(plots.dot_plot(HOSTILE, "HU", dots, floor=1.0))
    circles = [float(mark.get("cx")) for mark in tree.iter("circle")]
    assert len(circles) == 2
    assert circles[0] > circles[1]
    assert HOSTILE in [mark.text for mark in tree.iter("text")]
    assert plots.dot_plot("none", "", [plots.Dot("a", "after", math.nan)]) == ""
    x = np.array([1.0, 2, 3, 4])
    curves = [
        plots.Curve(HOSTILE, "before", x, np.array([1e7, 1e3, np.nan, 1e-2])),
        plots.Curve("flat", "target", x, np.full(4, 5.0)),
        plots.Curve("nothing", "after", x, np.full(4, np.nan)),
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
    assert len(BY_NAME) == len(FIGURES)
    assert all(figure.reading and figure.title for figure in FIGURES)
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
    page = tables.verdict({"pairs": [pair | {"scores": scores}], "mean": scores})
    assert "<script" not in page
    assert 'class="better">20.0 → 10.0<small>spectral 8.0</small>' in page
    assert "<td>—</td>" in page
