import csv
import itertools
import json

import numpy as np
import pytest

from jaxharmo.errors import InputError
from jaxharmo.evaluation.compare import compare_runs, paired_difference

A, B = "<script>1</script> -- A", "Scanner -- B"
FIGURES = ("rmse_hu", "ssim_truth", "edge_iou", "laa950")


def write_run(folder, errors, shards="same", ceiling=0.8):
    """A finished evaluation of one pair: ``errors`` by patient and slice, HU."""
    place = folder / "eval" / "20"
    place.mkdir(parents=True)
    (folder / "eval" / "3").mkdir()
    (folder / "eval" / "3" / "metrics.json").write_text("{}")
    rows = []
    for method, (patient, slices) in itertools.product(("after", "ceiling"), errors.items()):
        for number, error in enumerate(slices):
            kept = ceiling if method == "ceiling" else ceiling + error / 100
            values = (error, 1 - error / 100, kept, 5 + error)
            rows.append(
                {"source": A, "target": B, "method": method}
                | {"patient": patient, "slice": f"{patient}{number}"}
                | dict(zip(FIGURES, values, strict=True))
            )
    with (place / "edges.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    mean = float(np.mean([row["rmse_hu"] for row in rows]))
    pair = {"source": A, "target": B, "target_values": {"laa950": 5.0}}
    scores = {name: {"before": 30.0, "after": mean} for name in FIGURES}
    metrics = {"format_version": 2, "shards": shards, "split": "test", "window_hu": [-1024, 400]}
    metrics |= {
        "radiomics": {},
        "tile": 128,
        "extractors": [],
        "pairs": [pair | {"scores": scores}],
    }
    (place / "metrics.json").write_text(json.dumps(metrics))
    return folder


def errors(shift, seed=0):
    random = np.random.default_rng(seed)
    return {f"p{k}": (20 + shift + random.normal(size=4)).tolist() for k in range(7)}


def test_a_better_run_is_shown_to_be_better(tmp_path):
    runs = [write_run(tmp_path / "one", errors(0)), write_run(tmp_path / "two", errors(-8, 1))]
    said = compare_runs(runs, tmp_path / "out")
    assert "RMSE: nearer in 1 of 1 pairs; 1 differ" in said
    with (tmp_path / "out" / "comparison.csv").open() as file:
        rows = {row["figure"]: row for row in csv.DictReader(file)}
    assert set(rows) == set(FIGURES)
    for row in rows.values():
        # Seven patients: all sign changes but two are less extreme.
        assert float(row["p"]) == 2 / 2**7
        assert float(row["low"]) <= float(row["mean"]) <= float(row["high"]) < 0
        assert (row["patients"], row["slices"]) == ("7", "28")
    assert float(rows["rmse_hu"]["mean"]) == pytest.approx(-8, abs=1)
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;1" in page
    # Again, over itself; and a run against itself.
    compare_runs([runs[0], runs[0]], tmp_path / "out")
    with (tmp_path / "out" / "comparison.csv").open() as file:
        assert all(float(row["p"]) == 1 for row in csv.DictReader(file))


def test_slices_of_one_patient_are_not_evidence():
    values = np.r_[np.full(50, -1.0), np.full(50, -1.1)]
    by_slice = paired_difference(values, [str(n) for n in range(100)])
    by_patient = paired_difference(values, ["a"] * 50 + ["b"] * 50)
    assert by_slice.p < 0.001 < 0.5 == by_patient.p
    alone = paired_difference(values, ["a"] * 100)
    assert np.isnan([alone.p, alone.low, alone.high]).all()
    assert alone.mean == pytest.approx(-1.05)


def test_p_holds_its_level_with_clustered_slices():
    found = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        shared = np.repeat(random.normal(size=8), 10)
        patients = np.repeat(np.arange(8), 10).astype(str)
        found.append(paired_difference(shared + 0.1 * random.normal(size=80), patients).p)
    assert 0.01 < np.mean(np.array(found) <= 0.05) < 0.1


def test_what_cannot_be_compared(tmp_path):
    one = write_run(tmp_path / "one", errors(0))
    with pytest.raises(InputError, match="unlike shards"):
        compare_runs([one, write_run(tmp_path / "two", errors(0), shards="other")], tmp_path / "o")
    with pytest.raises(InputError, match="two runs"):
        compare_runs([one], tmp_path / "o")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no evaluation"):
        compare_runs([one, tmp_path / "empty"], tmp_path / "o")
    with pytest.raises(InputError, match="holds no comparison"):
        compare_runs([one, one], tmp_path / "empty")
    (one / "eval" / "20" / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="not an evaluation"):
        compare_runs([one, one], tmp_path / "o")
    assert not (tmp_path / "o").exists()
