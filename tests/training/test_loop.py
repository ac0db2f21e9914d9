import dataclasses
import functools
import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
from small import FILTER_ALONE, TINY, make_batch, replace

from jaxharmo.checkpoint import Checkpoints, find_step
from jaxharmo.errors import InputError
from jaxharmo.saved_config import write_config
from jaxharmo.training.loop import TrainingData, fit
from jaxharmo.training.metrics_writer import MetricsWriter
from jaxharmo.training.program import step_program
from jaxharmo.translator import load_translator

# What the loop writes and resumes does not depend on the networks: few, one update of each side.
CONFIG = replace(
    TINY,
    model=FILTER_ALONE | {"latent_dim": 2},
    loss={"texture": 0.0, "diversity": 0.0, "style": 0.0},
    train={"guidance": "mixed"},
)
SOURCES = np.random.default_rng(0).integers(-1024, 400, (3, 16, 16)).astype(np.int16)


def batches_from(first):
    return (make_batch(CONFIG, seed=number) for number in itertools.count(first))


def crops_of(number, pixel=0.0):
    return np.random.default_rng(number).integers(-1024, 400, (20, 16, 16)).astype(np.int16)


DATA = TrainingData(batches_from, crops_of, lambda number: 0.7, SOURCES)


def train(workdir, steps, batches=batches_from, **train_options):
    config = replace(CONFIG, train={"steps": steps} | train_options)
    workdir.mkdir(exist_ok=True)
    write_config(workdir, config)
    return fit(config, workdir, dataclasses.replace(DATA, batches_from=batches))


def weights(workdir):
    return load_translator(workdir).digest


@pytest.fixture(scope="module", autouse=True)
def programs():
    """Runs of one config share one program, traced once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxharmo.training.loop.step_program", functools.cache(step_program))
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    assert train(workdir, 4) == 4
    return workdir


def test_a_run_leaves_metrics_pictures_and_checkpoints(uninterrupted):
    lines = [
        json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert "images_per_second" in lines[-1]
    assert (uninterrupted / "samples" / "translations-0000004.png").stat().st_size > 0
    assert list((uninterrupted / "tensorboard").iterdir())
    page = (uninterrupted / "training.html").read_text()
    assert "Step 4 of 4." in page
    assert page.count("<polyline") > 3
    with Checkpoints(uninterrupted) as checkpoints:
        assert checkpoints.steps == [2, 4]


def test_resumed_equals_uninterrupted_bit_for_bit(uninterrupted, tmp_path):
    def failing(first):
        yield from itertools.islice(batches_from(first), 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 4, failing)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps == [2]
    assert train(tmp_path, 4) == 4
    assert weights(tmp_path) == weights(uninterrupted)
    told, expected = (
        [json.loads(line)["step"] for line in (d / "metrics.jsonl").read_text().splitlines()]
        for d in (tmp_path, uninterrupted)
    )
    assert told == expected
    assert "Step 4 of 4." in (tmp_path / "training.html").read_text()


def test_a_finished_run_is_left_alone(uninterrupted):
    before = weights(uninterrupted)
    assert train(uninterrupted, 4) == 4
    assert weights(uninterrupted) == before


def test_fewer_steps_than_a_run_has_are_reported(uninterrupted, capsys):
    assert train(uninterrupted, 2) == 4
    assert "--train.steps 2 is less than the run has" in capsys.readouterr().err
    assert train(uninterrupted, 4) == 4


def test_metrics_damaged_by_a_crash_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n\0\0\n{"step": 2}\n{"step": 3}\n{"st')
    with MetricsWriter(tmp_path, 2) as writer:
        writer.scalars(3, {"loss": 1.0})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_readers_leave_a_save_under_way_alone(uninterrupted):
    under_way = uninterrupted / "checkpoints" / "5.orbax-checkpoint-tmp"
    under_way.mkdir()
    assert find_step(uninterrupted, None) == 4
    assert under_way.is_dir()
    under_way.rmdir()


def test_old_checkpoints_are_dropped(tmp_path, monkeypatch):
    def idle_step(state, batch):
        return dataclasses.replace(state, step=state.step + 1), {"loss": jnp.zeros(())}

    monkeypatch.setattr("jaxharmo.training.program.build_step", lambda *_, **__: idle_step)
    train(tmp_path, 3, checkpoint_every=1, keep_checkpoints=2)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps == [2, 3]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxharmo.training.program.build_step", lambda *_, **__: broken_step)

    def broken_step(state, batch):
        step = state.step + 1
        metrics = {"generator/latent/cycle": jnp.where(step < 3, 0.5, jnp.nan)}
        return dataclasses.replace(state, step=step), metrics

    named = r"step 3: generator/latent/cycle not finite; the last good checkpoint .* step 2"
    with pytest.raises(FloatingPointError, match=named):
        train(tmp_path, 8, checkpoint_every=2, log_every=50, sample_every=50)
    assert Checkpoints(tmp_path).steps == [2]


def test_another_model_cannot_be_restored_into(uninterrupted):
    config = replace(CONFIG, model={"width": 8}, train={"steps": 6})
    with pytest.raises(InputError, match="of another model"):
        fit(config, uninterrupted, DATA)


def test_missing_steps_are_listed(uninterrupted, tmp_path):
    with pytest.raises(InputError, match="2, 4"):
        find_step(uninterrupted, 3)
    with pytest.raises(InputError, match="no checkpoints"):
        find_step(tmp_path, None)
