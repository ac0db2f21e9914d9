"""The table of machines, and what is refused."""

import pytest

from jaxharmo.errors import InputError
from jaxharmo.planning.machines import CARDS, find_machine
from jaxharmo.planning.target import check_compiler, target_config


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        *[("h100:8", 8), ("h200:1", 1), ("b200:8", 8), ("a100:4", 4), ("a100-80:2", 2)],
        *[("l4:1", 1), ("v5e:1x1", 1), ("v5e:2x4", 8), ("v5p:2x2x2", 8), ("v6e:4x4", 16)],
    ],
)
def test_names(name, devices):
    machine = find_machine(name)
    assert machine.name == name
    assert machine.devices == devices


@pytest.mark.parametrize(
    ("name", "lists"),
    [
        ("h1000:8", "l4, a100, a100-80, h100, h200, b200"),
        ("", "v5e, v5p, v6e"),
        ("h100", "h100:1 to h100:8"),
        ("h100:0", "h100:1 to h100:8"),
        ("h100:16", "h100:1 to h100:8"),
        ("h100:2x4", "h100:1 to h100:8"),
        ("h100:-1", "h100:1 to h100:8"),
        ("v5e:8", "v5e:2x4, v5e:4x4"),
        ("v5e:3x3", "v5e:2x4, v5e:4x4"),
        ("v5p:2x4", "v5p:2x2x1, v5p:2x2x2"),
    ],
)
def test_names_of_no_machine_list_those_that_exist(name, lists):
    with pytest.raises(InputError, match=f"--on {name}: no such machine; .*{lists}") as refused:
        find_machine(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", CARDS)
def test_figures_of_cards_are_in_the_right_units(name):
    card = CARDS[name]
    assert 10e9 < card.memory < 300e9
    assert 50e12 < card.peaks["float32"] <= card.peaks["bfloat16"] < 5e15
    assert 0.2e12 < card.memory_rate < 10e12
    assert 10e9 < card.link_rate < 1e12
    assert card.source
    assert (card.kind == "cuda") == (card.gpu is not None) == (not card.shapes)


def test_a_card_as_the_compiler_reads_it():
    card = CARDS["h200"]
    assert card.gpu
    text = target_config(card, card.gpu)
    assert "device_memory_size: 141000000000\n" in text
    assert "major: 9 minor: 0 feature_extension: ACCELERATED_FEATURES" in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("kind", ["tpu", "cuda"])
def test_a_missing_compiler_is_named_with_the_command_that_installs_it(kind, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install 'jaxharmo\[plan-{kind}\]'") as refused:
        check_compiler(kind)
    assert "\n" not in str(refused.value)
