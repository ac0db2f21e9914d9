"""``jaxharmo benchmark`` from the phantom to the table."""

import itertools
import json
import re

import numpy as np
import pytest

from jaxharmo import cli
from jaxharmo.benchmark.arrays import result_name
from jaxharmo.data.manifest import read_manifest
from jaxharmo.errors import InputError

CONFIG = """
from small import TINY, replace

def get_config():
    return replace(TINY, data={"domains": ()})
"""


def words(workdir, *more):
    return [
        *("benchmark", "scanners", str(workdir), "--patients", "3", "--slices", "2"),
        *("--size", "64", "--workers", "2", "--network.steps", "3", "--network.crop", "32"),
        *("--network.width", "2", *map(str, more)),
    ]


def truth(workdir):
    """The slices of the target domains on the grids of the sources: results without an error."""
    folder = workdir / "truth"
    folder.mkdir()
    rows = [line.split(",") for line in (workdir / "arrays/slices.csv").read_text().splitlines()]
    titles, rows = rows[0], [row for row in rows[1:] if row[0] == "test"]
    shown = [titles.index(name) for name in ("acquisition", "position_mm", "spacing_mm")]
    numbers = {
        (row[2], *(row[column] for column in shown)): int(row[titles.index("number")])
        for row in rows
    }
    for source, target in itertools.permutations({row[2] for row in rows}, 2):
        array = np.load(workdir / f"arrays/test/{target}.npy")
        keys = [(target, *(row[column] for column in shown)) for row in rows if row[2] == source]
        np.save(folder / result_name(source, target), array[[numbers[key] for key in keys]])
    return folder


@pytest.mark.slow
def test_a_benchmark_from_phantom_to_table(tmp_path, capsys):
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)
    work = tmp_path / "work"
    cli.parse(words(work, "--config", config, "--seeds", "2")).run()
    table = capsys.readouterr().out
    for title in ("source as it is", "spectral filter, paired", "network trained on pairs", "tiny"):
        assert f"| {title} " in table
    assert "tiny, against methods without pairs: behind in RMSE" in table
    content = json.loads((work / "benchmark.json").read_text())
    assert content["patients"] == {"train": 1, "validation": 1, "test": 1}
    assert {len(method["directions"]) for method in content["methods"]} == {6}
    kinds = {method["title"]: method["kind"] for method in content["methods"]}
    assert kinds["spectral filter, paired"] == kinds["network trained on pairs"] == "paired"
    (tiny,) = (method for method in content["methods"] if method["title"] == "tiny")
    assert tiny["spread"]["rmse_hu"] > 0
    # Without pairs: each scanner on its own grid. With pairs: on those of all.
    counts = {
        name: {domain.name: domain.slices["train"] for domain in read_manifest(work / name).domains}
        for name in ("training", "paired")
    }
    assert set(counts["training"].values()) == {2}
    assert set(counts["paired"].values()) == {4}

    given = ("--model", work / "runs" / "tiny-1", "--results", f"it={truth(work)}")
    cli.parse(words(work, *given)).run()
    again = capsys.readouterr()
    assert again.err.count("already made with these settings") == 2
    assert not re.search(r"^(training|network trained)", again.err, re.MULTILINE)
    content = json.loads((work / "benchmark.json").read_text())
    means = {method["title"]: method["mean"] for method in content["methods"]}
    assert means["it"]["rmse_hu"] == 0
    assert means["it"]["reduction"] == 100
    assert means["tiny-1"]["rmse_hu"] > means["source as it is"]["rmse_hu"]
    with pytest.raises(InputError, match="other files or settings"):
        cli.parse([*words(work), "--size", "96"]).run()
