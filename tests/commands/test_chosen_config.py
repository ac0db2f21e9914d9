"""Commands that take a config, and options in place of its values."""

import dataclasses
import json

import pytest

from jaxharmo import cli
from jaxharmo.config import DataConfig
from jaxharmo.config_files import load_config
from jaxharmo.errors import InputError
from jaxharmo.saved_config import from_json, write_config


def parsed(*words):
    return cli.parse(list(words))


@pytest.mark.parametrize("words", [("step",), ("input", "--data", "SHARDS")])
def test_the_config_gives_the_defaults_and_options_replace_them(words):
    config = "configs/lidc_texture.py"
    command = parsed("profile", *words, "--config", config, "--data.crop", "256")
    published = load_config(command.chosen.config)
    assert command.chosen.config == config
    assert command.chosen.settings.data.crop == 256
    assert command.chosen.settings.model == published.model
    assert command.chosen.settings.train == published.train


def test_the_demo_where_no_config_is_named():
    command = parsed("profile", "step", "--train.compute-dtype", "bfloat16")
    assert command.chosen.config == "demo"
    assert command.chosen.settings.train.compute_dtype == "bfloat16"
    assert command.chosen.load(("A", "B")).data.domains == ("A", "B")


def test_domains_of_the_config_come_first():
    command = parsed("profile", "step", "--config=configs/kernel_pairs.py")
    assert len(command.chosen.load(("A", "B")).data.domains) == 4
    command = parsed("profile", "step", "--data.domains", "C", "D", "E")
    assert command.chosen.load(("A", "B")).data.domains == ("C", "D", "E")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--config", "nowhere.py"), "nowhere.py: no such config file"),
        (("--data.crop", "100"), "--data.crop must be a power of two"),
        (("--train.compute-dtype", "half"), "--train.compute-dtype"),
        (("--train.nothing", "1"), "--train.nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(words, named):
    with pytest.raises(InputError, match=named):
        parsed("profile", "step", *words).chosen.load(("A",))


def test_a_plan_takes_them_too():
    command = parsed("plan", "--on", "h100:8", "--data.crop", "256", "--variants")
    assert (command.on, command.variants, command.largest_batch) == (("h100:8",), True, False)
    assert command.chosen.settings.data.crop == 256
    with pytest.raises(InputError, match="--on"):
        parsed("plan")
    with pytest.raises(InputError, match="h100:0: no such machine"):
        parsed("plan", "--on", "h100:0").run()
    with pytest.raises(InputError, match="batch-size 4 does not divide over 8 devices"):
        parsed("plan", "--on", "h100:1", "h100:8").run()


def test_machines_that_the_table_has_are_not_planned_again(monkeypatch, tmp_path, capsys):
    planned = []

    def plan(config, machine, **_):
        planned.append(machine.name)
        return {"machine": machine.name, "fits": False, "peak_bytes": 1e9}

    monkeypatch.setattr("jaxharmo.commands.plan.plan", plan)
    monkeypatch.setattr("jaxharmo.commands.plan.lines", lambda figures: [figures["machine"]])
    table, kept = tmp_path / "plans.md", tmp_path / "plans.json"
    options = ("--table", str(table), "--json", str(kept))
    parsed("plan", "--on", "h100:1", *options).run()
    assert json.loads(kept.read_text())["machine"] == "h100:1"
    parsed("plan", "--on", "h100:1", "h100:2", "v5e:1x1", *options).run()
    assert planned == ["h100:1", "h100:2", "v5e:1x1"]
    assert [one["machine"] for one in json.loads(kept.read_text())] == ["h100:2", "v5e:1x1"]
    assert table.read_text().count("| no |") == 3
    parsed("plan", "--on", "h100:1", "--data.crop", "64", *options).run()
    assert planned[3:] == ["h100:1"]


def test_options_reach_the_profile(monkeypatch, tmp_path, capsys):
    seen = {}
    profile = "jaxharmo.commands.profile.profile_step"
    monkeypatch.setattr(profile, lambda config, **_: seen.update(config=config) or {"crop": 64})
    parsed("profile", "step", "--data.crop", "64", "--json", str(tmp_path / "f")).run()
    assert seen["config"].data.crop == 64
    assert json.loads((tmp_path / "f").read_text()) == {"crop": 64}
    assert capsys.readouterr().out.split() == ["crop", "64"]


@pytest.mark.parametrize("words", [("train",), ("plan", "--on", "h100:8"), ("profile", "step")])
def test_a_config_is_printed_with_all_options_applied(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ("--config", "lidc_texture", "--data.crop", "256", "--train.steps", "7")
    parsed(*words, *options, "--print-config").run()
    settings = from_json(capsys.readouterr().out)
    published = load_config("lidc_texture")
    assert (settings.data.crop, settings.train.steps) == (256, 7)
    assert (settings.model, settings.loss) == (published.model, published.loss)
    assert not list(tmp_path.iterdir())


def test_a_config_is_checked_before_it_is_printed():
    with pytest.raises(InputError, match=r"--train\.batch_size"):
        parsed("train", "--train.batch-size", "0", "--print-config")


def test_settings_of_an_evaluation_are_printed(tmp_path, capsys):
    write_config(
        tmp_path, dataclasses.replace(load_config("demo"), data=DataConfig(domains=("A",)))
    )
    words = ("eval", "--workdir", str(tmp_path), "--split", "validation", "--eval.tile", "64")
    parsed(*words, "--print-config").run()
    settings = json.loads(capsys.readouterr().out)
    assert (settings["split"], settings["tile"]) == ("validation", 64)
    assert settings["bin_width"] == load_config("demo").eval.bin_width
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
