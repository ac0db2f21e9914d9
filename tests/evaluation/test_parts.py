"""An evaluation in parts, by threads, processes and Dask workers: the same figures."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
from blurred_domains import CONFIG as OF_ALL_TILES
from blurred_domains import blur_guide, blur_to_soft, blurred, write_shards
from same_figures import assert_same_figures

from jaxharmo.data.prepare.workers import Job
from jaxharmo.errors import InputError
from jaxharmo.evaluation.chunks import Chunk, Made, read_chunk, write_chunk
from jaxharmo.evaluation.evaluate import evaluate
from jaxharmo.evaluation.methods import Guidance
from jaxharmo.evaluation.work import held_evaluation, work_folder

CONFIG = dataclasses.replace(
    OF_ALL_TILES, eval=dataclasses.replace(OF_ALL_TILES.eval, max_tiles=10)
)
TABLES = ("edges.csv", "fid.csv", "radiomics.csv", "scores.csv", "texture.csv")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two chunks of each domain."""
    return write_shards(tmp_path_factory.mktemp("shards"), slices=5)


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxharmo.evaluation.samples._BLOCK", 3)
        yield


def run(shards, output, guide=blur_guide, model="step 3", said=None, **job):
    report = (lambda _: None) if said is None else said.append
    job = Job(**{"workers": 1} | job)
    return evaluate(guide, shards, CONFIG, output, model=model, job=job, report=report)


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "3"
    return run(shards, output), output


def test_parts_in_any_order_give_the_same_files(whole, shards, tmp_path):
    output, said = tmp_path / "3", []
    # So that the parts measure the real slices as well.
    shutil.rmtree(shards / "features")
    assert run(shards, output, said=said, part="2/2") is None
    assert "finish with --merge" in said[-1]
    with pytest.raises(InputError, match="2 of 4 chunks are not measured; run the missing parts"):
        run(shards, output, merge=True)
    assert not output.exists()
    assert run(shards, output, part="1/2") is None
    # Again: all of it is there.
    assert run(shards, output, guide=never, part="1/2") is None
    assert_same_figures(run(shards, output, merge=True), whole[0])
    assert_same_figures(json.loads((output / "metrics.json").read_text()), whole[0])
    for name in TABLES:
        assert (output / name).read_text() == (whole[1] / name).read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def never(training):
    def translate(hu, of, to, _=None):
        raise AssertionError("is measured already")

    return [Guidance("model", translate)]


def test_a_killed_evaluation_is_resumed(whole, shards, tmp_path):
    output, done = tmp_path / "3", []

    def killed(training):
        def translate(hu, of, to, _=None):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(len(hu))
            return blur_to_soft(hu, of, to)

        return [Guidance("model", translate)]

    with pytest.raises(KeyboardInterrupt):
        run(shards, output, guide=killed)
    chunks = sorted(work_folder(output).glob("*.npz"))
    assert chunks
    chunks[0].write_bytes(chunks[0].read_bytes()[:-200])
    assert read_chunk(chunks[0]) is None
    assert_same_figures(run(shards, output), whole[0])
    assert not work_folder(output).exists()


def test_parts_of_another_evaluation_are_refused(shards, tmp_path):
    output = tmp_path / "3"
    with pytest.raises(InputError, match="no parts to merge; run --part 1/n"):
        run(shards, output, merge=True)
    assert not any(tmp_path.iterdir())
    run(shards, output, part="1/2")
    for job in ({"part": "2/2"}, {"merge": True}):
        with pytest.raises(InputError, match="parts of another evaluation, with another model"):
            run(shards, output, model="step 4", **job)
    others = write_shards(tmp_path / "others", slices=4)
    with pytest.raises(InputError, match="another evaluation, with another shard set"):
        run(others, output, part="2/2")
    (work_folder(output) / "parts.json").write_text("[]")
    with pytest.raises(InputError, match=r"parts.json: damaged; delete"):
        run(shards, output, part="2/2")


def test_a_part_is_done_by_one_process_at_a_time(shards, tmp_path):
    output = tmp_path / "3"
    with held_evaluation(output, Job(part="1/2")):
        for job in ({"part": "1/2"}, {"merge": True}, {}):
            with pytest.raises(InputError, match="is at work on"):
                run(shards, output, **job)
    with pytest.raises(InputError, match="must be i/n"):
        run(shards, output, part="3/2")


def test_a_chunk_is_read_as_it_was_written(tmp_path):
    place = {"patient": "p0", "slice": 4, "position_mm": 2.5}
    rows = [place | {"edges": 0.1 + 0.2, "rmse_hu": math.nan}]
    chunk = Chunk(np.array([7]), None, {1: {"before": Made(rows, None)}}, {"reading": 0.25})
    write_chunk(tmp_path / "0.npz", chunk)
    found = read_chunk(tmp_path / "0.npz")
    np.testing.assert_equal(found.made[1]["before"].rows, rows)
    assert (found.lung.tolist(), found.real, found.seconds) == ([7], None, {"reading": 0.25})
    assert read_chunk(tmp_path / "0.npz", target=2).made == {}


@pytest.mark.slow
def test_methods_that_make_the_same_are_measured_once(whole, shards, tmp_path):
    def twice(training):
        return [*blur_guide(training), Guidance("again", lambda hu, *_: blurred(hu, 0.5))]

    def same(training):
        return [*blur_guide(training), *blur_guide(training)]

    scores = run(shards, tmp_path / "3", guide=same)["pairs"][0]["scores"]
    assert all(methods["after"] == methods["after_2"] for methods in scores.values() if methods)
    for name, methods in whole[0]["pairs"][0]["scores"].items():
        assert_same_figures(scores[name]["after"], methods["after"], name)
    others = run(shards, tmp_path / "4", guide=twice)["pairs"][0]["scores"]["rmse_hu"]
    assert others["after"] < others["after_2"]


@pytest.mark.slow
def test_two_processes_give_the_same(whole, shards, tmp_path):
    assert_same_figures(run(shards, tmp_path / "3", workers=2), whole[0])


@pytest.mark.slow
def test_two_dask_workers_give_the_same(whole, shards, tmp_path, dask_scheduler):
    found = run(shards, tmp_path / "3", scheduler=dask_scheduler)
    assert_same_figures(found, whole[0])
