"""Suites, arrays that others read, results that come back, and the table."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from paired_shards import SHARP, SIDE, SLICES, SOFT, blurred, paired_shards

from jaxharmo.benchmark import BenchmarkConfig, NetworkConfig, SuiteConfig, run_benchmark
from jaxharmo.benchmark.arrays import read_results, result_name, write_arrays
from jaxharmo.benchmark.shards import prepare_suite
from jaxharmo.benchmark.suites import SUITES
from jaxharmo.benchmark.table import COLUMNS, in_markdown, in_sentences, make_row
from jaxharmo.config import Config, DataConfig, EvalConfig
from jaxharmo.data.manifest import read_manifest
from jaxharmo.data.rescan.units import reconstructions
from jaxharmo.errors import InputError
from jaxharmo.evaluation.evaluate import evaluate

NAMES = {SHARP: "acme-one-h", SOFT: "acme-one-s"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return paired_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def arrays(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work") / "arrays"
    write_arrays(shards, read_manifest(shards), folder)
    return folder


@pytest.mark.parametrize(
    ("suite", "noises", "grids"), [("kernels", 1, 1), ("scanners", 3, 2), ("nonlinear", 1, 1)]
)
def test_suites(suite, noises, grids):
    scanners = SUITES[suite].sized(128, 215.0)
    assert len({scanner.domain for scanner in scanners}) == len(scanners) == 3
    # Scanners of one name that differ in the reconstruction alone see the same noise.
    acquired = {
        dataclasses.replace(each, kernel="B30f", strength=0, field_of_view=215.0)
        for each in scanners
    }
    assert len(acquired) == noises
    assert len({each.field_of_view for each in scanners}) == grids
    assert scanners[0].field_of_view == 215.0
    # Half the size: pixels keep their ratios.
    wide = SUITES[suite].sized(128, 430.0)
    assert [b.pixel / a.pixel for a, b in zip(scanners, wide, strict=True)] == pytest.approx(
        [2] * 3
    )


def test_pairs_to_train_on_are_on_all_grids():
    first, second, _ = SUITES["scanners"].sized(128, 430.0)
    own = reconstructions(first, (first, second), all_grids=False)
    assert own == (first,)
    both = reconstructions(first, (first, second), all_grids=True)
    assert [each.field_of_view for each in both] == [430.0, 460.0]
    assert {each.kernel for each in both} == {first.kernel}


def test_arrays_hold_the_slices_in_the_order_of_their_list(arrays):
    with (arrays / "slices.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * SLICES
    test = [row for row in rows if row["split"] == "test"]
    pair = [row for row in test if float(row["position_mm"]) == 5.0]
    images = [np.load(arrays / "test" / f"{row['slug']}.npy")[int(row["number"])] for row in pair]
    assert [row["domain"] for row in pair] == [SHARP, SOFT]
    assert images[0].dtype == np.int16
    np.testing.assert_allclose(blurred(images[0]), images[1], atol=1)
    assert len({row["patient"] for row in rows}) == 3


def results(arrays, folder, make):
    """``make(source slices, target slices)`` for both directions."""
    folder.mkdir(exist_ok=True)
    test = {name: np.load(arrays / "test" / f"{slug}.npy") for name, slug in NAMES.items()}
    for source, target in ((SHARP, SOFT), (SOFT, SHARP)):
        made = make(test[source].astype(np.float32), test[target])
        np.save(folder / result_name(NAMES[source], NAMES[target]), made)
    return folder


def test_results_are_found_by_the_number_of_the_slice(shards, arrays, tmp_path):
    folder = results(arrays, tmp_path / "a", lambda source, target: target)
    (entry,) = read_results([f"name={folder}"], read_manifest(shards), SIDE)
    target = np.load(arrays / "test" / f"{NAMES[SOFT]}.npy")
    made = entry.between(SHARP, SOFT)(np.zeros((2, SIDE, SIDE)), (1.0, 1.0), [3, 1])
    np.testing.assert_array_equal(made, target[[3, 1]])


@pytest.mark.slow
def test_results_are_judged_as_any_method(shards, arrays, tmp_path):
    """Known answers: the source as it is, and the truth."""
    folders = {
        "nothing done": results(arrays, tmp_path / "a", lambda source, target: source),
        "<truth> | it": results(arrays, tmp_path / "b", lambda source, target: target),
    }
    given = [f"{name}={folder}" for name, folder in folders.items()]
    entries = read_results(given, read_manifest(shards), SIDE)
    config = Config(
        data=DataConfig(domains=(SHARP, SOFT)),
        eval=EvalConfig(tile=32, resamples=20, permutations=19, baselines=("histogram",)),
    )
    metrics = evaluate(
        lambda training: entries,
        shards,
        config,
        tmp_path / "evaluation",
        model="suite",
        report=lambda _: None,
    )
    assert metrics["models"] == ["after", "after_2"]
    before, same, truth = (
        make_row(metrics, name, "judged", [name]) for name in ("before", "after", "after_2")
    )
    # The slices are too small for the patches in which noise is measured.
    measured = {name: value for name, value in before.mean.items() if value is not None}
    # The slices are too small for a lung and for the patches in which noise is measured.
    assert set(before.mean) - set(measured) <= {"noise_gap", "laa_error"}
    for name, value in measured.items():
        assert same.mean[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
    assert before.mean["rmse_hu"] > 5
    assert truth.mean["rmse_hu"] == 0
    assert truth.mean["reduction"] == 100
    assert truth.mean["ssim_truth"] == pytest.approx(1)
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert "&lt;truth&gt; | it" in page
    assert "<truth>" not in page


def metrics_of(values):
    """Two directions; ``values``: RMSE and LAA-950 by method, in either."""
    pairs = [
        {
            "source": source,
            "target": target,
            "scores": {
                "rmse_hu": {name: each[index][0] for name, each in values.items()},
                "laa950": {name: each[index][1] for name, each in values.items()},
            },
        }
        for index, (source, target) in enumerate((("A", "B"), ("B", "A")))
    ]
    return {"pairs": pairs}


VALUES = {
    "before": [(40.0, 1.0), (20.0, 9.0)],
    "spectral": [(20.0, 4.0), (16.0, 5.0)],
    "after": [(10.0, 5.0), (10.0, 4.0)],
    "after_2": [(20.0, 4.0), (20.0, None)],
    "ceiling": [(0.0, 4.0), (0.0, 4.0)],
}


def test_rows_are_means_over_directions_and_seeds():
    metrics = metrics_of(VALUES)
    row = make_row(metrics, "ours", "judged", ["after", "after_2"])
    # Seeds: 75 and 50 %, then 50 and 0 %; errors of LAA-950: 1 and 0, then 0 and unknown.
    assert row.mean["rmse_hu"] == 15
    assert row.mean["reduction"] == pytest.approx((62.5 + 25) / 2)
    assert row.spread["reduction"] == pytest.approx(np.std([62.5, 25], ddof=1))
    assert row.mean["laa_error"] == pytest.approx((0.5 + 0) / 2)
    assert row.mean["ssim_truth"] is None
    assert [each["figures"]["reduction"] for each in row.directions] == pytest.approx([62.5, 25])
    assert make_row(metrics, "one", "judged", ["after"]).spread["rmse_hu"] is None
    json.dumps(row._asdict(), allow_nan=False)


def test_a_loss_is_printed_as_such():
    metrics = metrics_of(VALUES)
    filtered = make_row(metrics, "spectral filter", "baseline", ["spectral"])
    ours, theirs = (
        make_row(metrics, title, "judged", [name])
        for title, name in (("a | <b>", "after"), ("other", "after_2"))
    )
    paired = make_row(metrics, "network", "paired", ["after"])
    text = in_markdown([filtered, ours, theirs])
    assert "a &#124; &lt;b&gt;" in text
    assert {(line.count("|"), len(line)) for line in text.splitlines()} == {(9, len(text) // 5)}
    assert re.fullmatch(r"\| -+ (\| -+: ){7}\|", text.splitlines()[1])
    said = in_sentences([filtered, paired, ours, theirs])
    assert said[0] == (
        "a &#124; &lt;b&gt;, against methods without pairs: "
        "not behind in the figures that could be measured."
    )
    assert "not behind" in said[1]
    assert "RMSE, HU 20.0 against 18.0 (spectral filter)" in said[2]
    assert "LAA-950 error" not in said[2]
    assert "RMSE, HU 20.0 against 10.0 (network)" in said[3]
    assert len(COLUMNS) == len({column.name for column in COLUMNS})


def refused(match, call, *args):
    with pytest.raises(InputError, match=match) as caught:
        call(*args)
    assert "\n" not in str(caught.value)


def test_results_that_do_not_fit(shards, arrays, tmp_path):
    manifest = read_manifest(shards)

    def read(make, *names):
        folder = results(arrays, tmp_path / "some", make)
        return read_results([f"{name}={folder}" for name in names], manifest, SIDE)

    assert len(read(lambda source, _: source, "one", "two")) == 2
    refused("'one' twice", read, lambda source, _: source, "one", "one")
    for name in ("", "a\nb", "n" * 41):
        refused("NAME=FOLDER", read, lambda source, _: source, name)
    refused("NAME=FOLDER", read_results, ["name"], manifest, SIDE)
    refused("missing", read_results, [f"a={tmp_path}"], manifest, SIDE)
    refused(r"shape \(3, 96, 96\), not \(4, 96, 96\)", read, lambda source, _: source[1:], "a")
    refused("not finite", read, lambda source, _: np.where(source > 0, np.nan, source), "a")
    refused("real numbers", read, lambda source, _: source.astype(complex), "a")
    refused("real numbers", read, lambda source, _: source.astype(str), "a")
    refused("not a NumPy array", read, lambda source, _: source.astype(object), "a")
    (tmp_path / "some" / "acme-one-h_to_acme-one-s.npy").write_bytes(b"no array")
    refused("not a NumPy array", read_results, [f"a={tmp_path / 'some'}"], manifest, SIDE)


def test_wrong_use(tmp_path):
    def attempt(name="kernels", suite=None, network=None, **options):
        run_benchmark(
            name,
            tmp_path / "work",
            suite or SuiteConfig(),
            network or NetworkConfig(),
            BenchmarkConfig(**options),
            lambda _: None,
        )

    refused(
        "'kernel'|kernel: no such suite; there are kernels, scanners, nonlinear", attempt, "kernel"
    )
    for options, match in (
        ({"seeds": 0}, "--seeds"),
        ({"config": ("dmeo",)}, "dmeo"),
        ({"config": ("demo", "configs/demo.py")}, "two of one name"),
        ({"suite": SuiteConfig(size=7)}, "--size: 32 to 1024"),
        ({"suite": SuiteConfig(field_of_view=1.0)}, "--field-of-view: 50 to"),
        ({"suite": SuiteConfig(shards=tmp_path / "none")}, "none: no dataset.json"),
    ):
        with pytest.raises(InputError, match=match):
            attempt(**options)
    block = paired_shards(tmp_path / "block", split_by="slice block")
    with pytest.raises(InputError, match="patients are not apart"):
        attempt(suite=SuiteConfig(shards=block))


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"crop": 8}, {"batch_size": 0}, {"width": 0}, {"learning_rate": 0.0}]
)
def test_impossible_networks(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"network.{name} must be"):
        NetworkConfig(**change)


def test_objects_without_a_test_patient(tmp_path):
    shards = paired_shards(tmp_path / "set")
    text = (shards / "dataset.json").read_text().replace(f'"test": {SLICES}', '"test": 0')
    (shards / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="no slices in the split 'test'"):
        prepare_suite(SUITES["kernels"], tmp_path, SuiteConfig(shards=shards), lambda _: None)
