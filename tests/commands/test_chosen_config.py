"""Commands that take a config, and options in place of its values."""

import json
import sys

import pytest

from jaxharmo import cli
from jaxharmo.config_files import load_config
from jaxharmo.errors import InputError


@pytest.fixture
def parsed(monkeypatch):
    def parse(*words):
        monkeypatch.setattr(sys, "argv", ["jaxharmo", *words])
        return cli.parse(list(words))

    return parse


@pytest.mark.parametrize("words", [("step",), ("input", "--data", "SHARDS")])
def test_the_config_gives_the_defaults_and_options_replace_them(parsed, words):
    config = "configs/lidc_texture.py"
    command = parsed("profile", *words, "--config", config, "--data.crop", "256").what
    published = load_config(command.chosen.config)
    assert command.chosen.config == config
    assert command.chosen.settings.data.crop == 256
    assert command.chosen.settings.model == published.model
    assert command.chosen.settings.train == published.train


def test_the_demo_where_no_config_is_named(parsed):
    command = parsed("profile", "step", "--train.compute-dtype", "bfloat16").what
    assert command.chosen.config == "demo"
    assert command.chosen.settings.train.compute_dtype == "bfloat16"
    assert command.chosen.load(("A", "B")).data.domains == ("A", "B")


def test_domains_of_the_config_come_first(parsed):
    command = parsed("profile", "step", "--config=configs/kernel_pairs.py").what
    assert len(command.chosen.load(("A", "B")).data.domains) == 4
    command = parsed("profile", "step", "--data.domains", "C", "D", "E").what
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
def test_what_makes_no_sense_is_refused(parsed, words, named):
    with pytest.raises(InputError, match=named):
        parsed("profile", "step", *words).what.chosen.load(("A",))


def test_a_plan_takes_them_too(parsed):
    command = parsed("plan", "--on", "h100:8", "--data.crop", "256", "--variants")
    assert (command.on, command.variants, command.largest_batch) == ("h100:8", True, False)
    assert command.chosen.settings.data.crop == 256
    with pytest.raises(InputError, match="--on"):
        parsed("plan")
    with pytest.raises(InputError, match="h100:0: no such machine"):
        parsed("plan", "--on", "h100:0").run()
    with pytest.raises(InputError, match="batch-size 4 does not divide over 8 devices"):
        parsed("plan", "--on", "h100:8").run()


def test_options_reach_the_profile(parsed, monkeypatch, tmp_path, capsys):
    seen = {}
    profile = "jaxharmo.commands.profile.profile_step"
    monkeypatch.setattr(profile, lambda config, **_: seen.update(config=config) or {"crop": 64})
    parsed("profile", "step", "--data.crop", "64", "--json", str(tmp_path / "f")).run()
    assert seen["config"].data.crop == 64
    assert json.loads((tmp_path / "f").read_text()) == {"crop": 64}
    assert capsys.readouterr().out.split() == ["crop", "64"]
