"""Plans: what is refused, the arithmetic, and steps compiled for machines that are not here."""

import dataclasses
import json

import jax
import pytest
from small import STEERED, TINY, replace

from jaxharmo.errors import InputError
from jaxharmo.hlo import Collectives, Program
from jaxharmo.planning import plan as planning
from jaxharmo.planning.estimate import estimate
from jaxharmo.planning.machines import find_machine
from jaxharmo.planning.plan import changes, find_largest_batch, plan, plan_step, warnings
from jaxharmo.planning.report import lines
from jaxharmo.planning.target import check_compiler

H100 = find_machine("h100:8")
QUICK = replace(TINY, loss={"texture": 0.0, "diversity": 0.0}, train={"guidance": "mixed"})


def test_the_roofline():
    program = Program(
        989e12 * 0.1,
        3350e9 * 0.2,
        9,
        {"all-reduce": Collectives(3, 450_000_000), "all-gather": Collectives(1, 45)},
    )
    found = estimate(program, H100, "bfloat16", steps=1000)
    assert found.compute == pytest.approx(0.1)
    assert found.memory == pytest.approx(0.2)
    assert found.links == pytest.approx(1e-3 * 2 * 7 / 8, rel=1e-5)
    assert found.step == pytest.approx(0.2 + found.links)
    assert found.days == pytest.approx(1000 * found.step / 86400)
    assert found.device_hours == pytest.approx(8 * 24 * found.days)


def test_float32_takes_its_own_peak_and_counted_operations_are_a_floor():
    program = Program(494e12, 0.0, 9, {})
    assert estimate(program, H100, "float32", steps=1).step == pytest.approx(1.0)
    asked = estimate(program, H100, "float32", steps=1, operations=2 * 494e12)
    assert asked.step == pytest.approx(2.0)


def test_one_device_sends_nothing():
    alone = find_machine("h100:1")
    program = Program(0.0, 0.0, 9, {"all-reduce": Collectives(1, 10**9)})
    assert estimate(program, alone, "float32", steps=1).links == 0


@pytest.mark.parametrize("limit", [0, 7, 8, 9, 63, 64, 1000, 4096])
@pytest.mark.parametrize("start", [8, 64])
def test_the_largest_batch(limit, start):
    tried = []

    def fits(batch):
        tried.append(batch)
        return batch <= limit

    found = find_largest_batch(start, 8, fits, start <= limit)
    whole = limit // 8 * 8
    assert whole * 15 / 16 - 8 <= found <= whole
    assert found % 8 == 0
    assert len(set(tried)) == len(tried) <= 16


def test_choices_are_changed_one_by_one():
    config = replace(TINY, train={"batch_size": 16, "shard_state": True})
    found = changes(config, H100)
    assert {name: _changed(config, one) for name, one in found.items()} == {
        "--train.compute-dtype bfloat16": {"compute_dtype": "bfloat16"},
        "--train.remat": {"remat": True},
        "--train.accumulate 2": {"accumulate": 2},
        "--train.no-shard-state": {"shard_state": False},
    }
    alone = changes(replace(config, train={"batch_size": 1}), find_machine("h100:1"))
    assert set(alone) == {"--train.compute-dtype bfloat16", "--train.remat"}


def _changed(before, after):
    old, new = dataclasses.asdict(before.train), dataclasses.asdict(after.train)
    return {name: value for name, value in new.items() if value != old[name]}


def test_a_batch_that_does_not_divide_is_refused_before_anything_is_compiled(monkeypatch):
    monkeypatch.setattr(planning, "absent_devices", lambda machine: pytest.fail("too late"))
    config = replace(TINY, train={"batch_size": 12})
    with pytest.raises(InputError, match="batch-size 12 does not divide over 8 devices"):
        plan(config, H100, variants=False, largest_batch=False, report=print)


def test_operations_that_disagree_are_warned_of():
    assert warnings(1.9, 1.0) == warnings(0.6, 1.0) == []
    assert "2.1 times" in warnings(2.1, 1.0)[0]
    assert "0.4 times" in warnings(0.4, 1.0)[0]


def test_a_plan_is_json_and_lines(monkeypatch):
    """With the devices of this machine in place of those that are not here."""
    monkeypatch.setattr(planning, "absent_devices", lambda machine: jax.devices()[:8])
    told = []
    figures = plan(QUICK, H100, variants=False, largest_batch=False, report=told.append)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["fits"]
    assert figures["peak_bytes"] >= figures["argument_bytes"] + figures["temporary_bytes"]
    assert set(figures["collectives"]) == {"all-reduce"}
    assert told == ["compiling the step for h100:8"]
    text = "\n".join(lines(figures))
    for word in ("fits", "all-reduce", "estimate, not measured", "device hours", "data sheet"):
        assert word in text


def test_variants_and_the_largest_batch(monkeypatch):
    """Of a machine on which 32 fit, and 64 where the networks compute in bfloat16."""

    def stand_in(config, machine, devices):
        train = config.train
        size = train.batch_size / (2 if train.compute_dtype == "bfloat16" else 1)
        fits = size <= 32
        return {"fits": fits, "peak_bytes": size * 1e9, "usable_bytes": 32e9}

    monkeypatch.setattr(planning, "plan_step", stand_in)
    monkeypatch.setattr(planning, "absent_devices", lambda machine: jax.devices()[:8])
    told = []
    config = replace(QUICK, train={"batch_size": 64})
    figures = plan(config, H100, variants=True, largest_batch=True, report=told.append)
    assert not figures["fits"]
    assert figures["largest_batch"] == 32
    assert figures["variants"]["--train.compute-dtype bfloat16"]["fits"]
    assert told[:2] == [
        "compiling the step for h100:8",
        "compiling --train.compute-dtype bfloat16 for h100:8",
    ]
    text = "\n".join(lines(figures))
    assert "DOES NOT FIT: needs at least 64 GB" in text
    assert "with --train.compute-dtype bfloat16: fits: needs 32 GB, -50%" in text
    assert "largest batch: 32" in text


@pytest.mark.parametrize(
    ("complaint", "needed"),
    [
        ("Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm.", 20.5 * 2**30),
        ("Allocation (size=40038400000) would exceed memory (size=17179869184)", 40038400000),
        ("Out of luck.", None),
    ],
)
def test_a_step_for_which_a_compiler_finds_no_memory(complaint, needed, monkeypatch):
    """A TPU's compiler tells by an error."""

    class Short:
        networks = None

        def lower(self):
            raise jax.errors.JaxRuntimeError(f"RESOURCE_EXHAUSTED: {complaint}")

    monkeypatch.setattr(planning, "step_program", lambda config, mesh: Short())
    found = plan_step(QUICK, find_machine("v5e:1x1"), jax.devices()[:1])
    assert found == {"fits": False, "peak_bytes": needed, "usable_bytes": 16e9}


def compiler_for(name):
    machine = find_machine(name)
    try:
        check_compiler(machine.card.kind)
    except InputError as missing:
        pytest.skip(str(missing))
    return machine


@pytest.mark.plan
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model"), [("v5e:2x4", {}), ("v5e:1x1", STEERED), ("h100:8", {}), ("h100:1", STEERED)]
)
def test_the_step_compiles_for_a_machine_that_is_not_here(name, model):
    machine = compiler_for(name)
    config = replace(QUICK, model=model)
    figures = plan(config, machine, variants=False, largest_batch=False, report=print)
    assert figures["fits"]
    assert figures["devices"] == machine.devices
    assert figures["operations"] > 0
    assert figures["bytes_moved"] > 0
    # A replicated state is never gathered.
    assert set(figures["collectives"]) == ({"all-reduce"} if machine.devices > 1 else set())
    assert figures["estimate"]["seconds_step"] > 0


@pytest.mark.plan
@pytest.mark.slow
@pytest.mark.parametrize("name", ["v5e:1x1", "h100:1"])
def test_a_step_that_does_not_fit_is_said_not_to(name):
    machine = compiler_for(name)
    config = replace(QUICK, data={"crop": 128}, model={"width": 64}, train={"batch_size": 8192})
    figures = plan(config, machine, variants=False, largest_batch=False, report=print)
    assert not figures["fits"]
    assert figures["peak_bytes"] > figures["usable_bytes"]
