"""The table of plans: rows, and what is not made again."""

from small import TINY, replace

from jaxharmo.planning.table import add_row, has_row, label

FIGURES = {
    "machine": "h100:8",
    "fits": True,
    "peak_bytes": 2e9,
    "temporary_bytes": 1.5e9,
    "operations": 2e12,
    "operations_counted": 1e12,
    "bytes_moved": 3e9,
    "kernels": 1234,
    "collectives": {"all-reduce": {"count": 4, "bytes": 17_000}},
    "seconds_compile": 100.4,
    "seconds_cpu": 50.0,
    "estimate": {"seconds_step": 0.01, "days": 0.5},
}


def test_a_row_follows_those_that_are_there(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("# Plans\n\nText before.\n", encoding="utf-8")
    assert not has_row(path, "`demo`", "h100:8")
    add_row(path, "`demo`", FIGURES)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\nText behind.\n", encoding="utf-8")
    add_row(path, "`demo`", FIGURES | {"machine": "h100:1", "collectives": {}})
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Plans"
    assert lines[-1] == "Text behind."
    assert lines[6] == (
        "| `demo` | `h100:8` | yes | 2 GB (1.5 GB) | 2e+12 (1e+12) | 3 GB, 1,234 | "
        "4 all-reduce (17 kB) | 100 s (50 s) | 10 ms | 12 hours |"
    )
    assert lines[7].startswith("| `demo` | `h100:1` | ")
    assert len({line.count("|") for line in lines[4:8]}) == 1
    assert has_row(path, "`demo`", "h100:1")
    assert not has_row(path, "`demo`", "h100:2")
    assert not has_row(path, "`demo`, `--train.remat True`", "h100:8")


def test_a_step_for_which_there_is_no_memory_is_a_row(tmp_path):
    path = tmp_path / "page.md"
    add_row(path, "`lidc`", {"machine": "v5e:1x1", "fits": False, "peak_bytes": 2e10})
    header, rule, row = path.read_text(encoding="utf-8").splitlines()
    assert row == "| `lidc` | `v5e:1x1` | no | at least 20 GB | – | – | – | – | – | – |"
    assert header.count("|") == rule.count("|") == row.count("|")


def test_a_label_names_what_differs_from_the_shipped_config():
    changed = replace(TINY, train={"compute_dtype": "bfloat16"}, data={"domains": ("A",)})
    assert label("demo", TINY, TINY) == "`demo`"
    assert label("configs/demo.py", changed, TINY) == "`demo`, `--train.compute-dtype bfloat16`"
