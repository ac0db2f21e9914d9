"""The commands end to end, as a user types them."""

import contextlib
import io
import json
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import SECRETS, write_series

from jaxharmo.cli import main
from jaxharmo.data.phantom import PhantomConfig, make_phantom

ROOT = Path(__file__).parents[2]

SMALL = [
    *("--data.crop", "32", "--model.width", "4", "--model.max-width", "8"),
    *("--model.generator.residual-width", "0", "--model.generator.knots", "2"),
    "--model.generator.in-mm",
    *("--texture.resolutions", "1", "--texture.features", "contrast"),
    *("--loss.spectrum", "0", "--loss.histogram", "0", "--loss.spread", "0"),
    *("--loss.adversarial", "0", "--eval.max-tiles", "4"),
    *("--train.batch-size", "4", "--train.log-every", "1", "--train.checkpoint-every", "2"),
    *("--eval.tile", "32", "--eval.radiomics", "native", "--eval.max-slices", "1"),
    *("--eval.guidance", "latent", "--eval.resamples", "20", "--eval.permutations", "19"),
]


JAXHARMO = ("-c", "from jaxharmo.cli import main; main()")


def start(*words):
    """Run a command as a process of its own; exit code, stdout, stderr."""
    words = [sys.executable, *map(str, words)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def run(script, *words):
    """The same in this process, which saves the start of JAX."""
    out, said = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(said),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", [str(script), *map(str, words)])
        # A command restores no handler, because its process ends with it.
        handler = signal.getsignal(signal.SIGTERM)
        try:
            main() if script == "jaxharmo" else runpy.run_path(script, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            signal.signal(signal.SIGTERM, handler)
    return code, out.getvalue(), said.getvalue()


def jaxharmo(*words):
    return run("jaxharmo", *words)


def test_prepare_starts_without_jax():
    """Its import takes seconds, and a helper's memory starts from what is imported."""
    look = "import sys, jaxharmo.cli as c; c.options('prepare'); print('jax' in sys.modules)"
    assert start("-c", look) == (0, "False\n", "")


def test_models_are_listed_without_the_networks():
    look = (
        "import sys, jaxharmo.cli as c; c.parse(['models']).run(); "
        "print({'flax', 'orbax.checkpoint', 'jax.experimental.pallas'} & {*sys.modules})"
    )
    code, out, said = start("-c", look)
    assert (code, said) == (0, "")
    assert out.startswith("kernel-pairs: ")
    assert out.endswith("\nset()\n")


def test_a_command_that_does_not_exist():
    assert_one_line(jaxharmo("preprae"), "preprae", "harmonize")


def assert_one_line(result, *named):
    code, _, said = result
    assert code == 2, said
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    for word in named:
        assert str(word) in lines[0]


def train_words(phantom, workdir, steps):
    return [
        *("train.py", "--config", "configs/smoke.py", "--data", phantom, "--workdir", workdir),
        *("--train.steps", str(steps), *SMALL),
    ]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Patients of one dose, so that the texture of a domain is that of its kernel."""
    directory = tmp_path_factory.mktemp("phantom")
    make_phantom(directory, PhantomConfig(patients=4, slices=1, size=128, doses=(1.0,)))
    return directory


@pytest.fixture(scope="module")
def trained(phantom, tmp_path_factory):
    """A run, from start to report."""
    workdir = tmp_path_factory.mktemp("run")
    code, out, said = start(*train_words(phantom, workdir, 6))
    assert code == 0, said
    return workdir, out, said


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_end(trained, phantom, tmp_path):
    workdir = tmp_path
    words = [sys.executable, *map(str, train_words(phantom, workdir, 6))]
    with subprocess.Popen(words, cwd=ROOT, stdout=-3, stderr=-3) as process:
        while not (workdir / "checkpoints" / "2").is_dir():
            assert process.poll() is None, "training ended before its first checkpoint"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    code, _, said = start(*train_words(phantom, workdir, 6))
    assert code == 0, said
    assert re.search(r"resuming from step [24]", said)
    assert steps_of(workdir) == steps_of(trained[0])


def steps_of(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def test_a_run_leaves_curves_pictures_and_checkpoints(trained):
    workdir, *_ = trained
    assert steps_of(workdir) == [1, 2, 3, 4, 5, 6]
    assert (workdir / "checkpoints" / "6").is_dir()
    assert list((workdir / "samples").glob("*.png"))


def test_a_stage_without_a_terminal_is_one_line(trained):
    _, _, said = trained
    stages = [line.split(":")[0] for line in said.splitlines() if re.search(r": \d+/\d+ ", line)]
    assert stages == ["training", "measuring", "comparing"]


def test_training_ends_with_figures_of_every_pair(trained):
    workdir, out, said = trained
    for source, target in ((a, b) for a in "357" for b in "357" if a != b):
        assert re.search(rf"B{source}0f → .*B{target}0f", out)
    report = workdir / "eval" / "6" / "report.html"
    assert re.search(rf"open first +{re.escape(str(report))}\n", out)
    assert str(workdir / "training.html") in out
    last = said.splitlines()[-1]
    assert last.startswith(
        f"next: jaxharmo harmonize --workdir {workdir} --to 'PHANTOM Ellipse -- "
    )
    page = report.read_text()
    assert page.count("data:image/webp;base64,") > 6
    metrics = json.loads((workdir / "eval" / "6" / "metrics.json").read_text())
    assert len(metrics["pairs"]) == 6


def test_evaluation_of_another_step_and_split(trained):
    workdir, *_ = trained
    words = ("--step", 4, "--split", "validation", "--eval.targets", "PHANTOM Ellipse -- B30f")
    code, out, said = run("eval.py", "--workdir", workdir, *words)
    assert code == 0, said
    assert str(workdir / "eval" / "4" / "report.html") in out
    stages = [line.split(":")[0] for line in said.splitlines() if re.search(r": \d+/\d+ ", line)]
    assert stages == ["measuring", "comparing"]
    assert_one_line(run("eval.py", "--workdir", workdir, "--step", 5), "4, 6")


@pytest.mark.slow
def test_evaluation_in_parts(trained):
    workdir, *_ = trained
    words = ("eval", "--workdir", workdir, "--step", 4, "--eval.targets", "PHANTOM Ellipse -- B30f")
    assert_one_line(jaxharmo(*words, "--merge"), "no parts to merge", "4.parts")
    assert_one_line(jaxharmo(*words, "--part", "3/2"), "3/2", "i/n")
    assert_one_line(jaxharmo(*words, "--processes", "2"), "--distributed")
    for part in ("1/2", "2/2"):
        code, out, said = jaxharmo(*words, "--part", part)
        assert (code, out) == (0, ""), said
        assert f"part {part[0]} of 2 is done; finish with --merge" in said
    assert_one_line(jaxharmo(*words, "--merge", "--split", "validation"), "with another")
    code, out, said = jaxharmo(*words, "--merge")
    assert code == 0, said
    assert str(workdir / "eval" / "4" / "report.html") in out


def test_harmonize_writes_a_series(trained, tmp_path):
    workdir, *_ = trained
    write_series(tmp_path / "in", slices=3)
    target = "PHANTOM Ellipse -- B30f"
    words = ("harmonize", "--workdir", workdir, "--to", target, tmp_path / "in", tmp_path / "out")
    # Its kernel is none of the phantom's, and it shows no tissue that would tell.
    code, _, said = jaxharmo(*words)
    assert code == 2
    assert "name it with --from" in said.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    words += ("--from", "PHANTOM Ellipse -- B70f")
    code, out, said = jaxharmo(*words)
    assert code == 0, said
    assert not re.search("|".join(SECRETS), out + said)
    before, after = (
        {
            tuple(dataset.ImagePositionPatient): dataset
            for dataset in map(pydicom.dcmread, sorted((tmp_path / name).glob(pattern)))
        }
        for name, pattern in (("in", "*"), ("out", "*.dcm"))
    )
    assert before.keys() == after.keys()
    for place, dataset in after.items():
        assert dataset.ImageType[0] == "DERIVED"
        assert dataset.SeriesInstanceUID != before[place].SeriesInstanceUID
        assert np.isfinite(dataset.pixel_array).all()
    sidecar = json.loads((tmp_path / "out" / "harmonization.json").read_text())
    assert sidecar["to"] == target
    assert "unlike those of the training" in sidecar["warnings"][0]
    textures = json.loads((workdir / "textures.json").read_text())["domains"]
    assert textures["PHANTOM Ellipse -- B70f"]["mean"][0] > textures[target]["mean"][0] + 0.1
    unknown = ("harmonize", "--workdir", workdir, "--to", "B99", tmp_path / "in", tmp_path / "x")
    assert_one_line(jaxharmo(*unknown), "B99", *(f"B{number}0f" for number in (3, 5, 7)))
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_killed_batch_goes_on_to_the_end(trained, tmp_path):
    workdir, *_ = trained
    for name in "abc":
        write_series(tmp_path / "in" / name, slices=5, series=name)
    model = tmp_path / "model"
    code, _, said = jaxharmo("export", "--workdir", workdir, model)
    assert code == 0, said
    names = [f"PHANTOM Ellipse -- B{number}0f" for number in (3, 5, 7)]
    targets = [word for name in names for word in ("--to", name)]
    words = ("harmonize", "--model", model, *targets, "--from", names[0], "--batch", "2")
    command = [sys.executable, *map(str, (*JAXHARMO, *words, tmp_path / "in", tmp_path / "out"))]
    with subprocess.Popen(command, cwd=ROOT, stdout=-3, stderr=-3) as process:
        while not list(tmp_path.glob("out/b/*/slice-0001.dcm")):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.glob("out/*/*/slice-*.dcm"))) < 45
    for place in ("out", "whole"):
        code, out, said = start(*JAXHARMO, *words, tmp_path / "in", tmp_path / place)
        assert code == 0, said
        assert ("already done" in said) == (place == "out")
        assert "9 harmonized" in out
    files = {
        place: {
            path.relative_to(tmp_path / place): path.read_bytes()
            for path in (tmp_path / place).rglob("*.*")
            if path.is_file()
        }
        for place in ("out", "whole")
    }
    assert files["out"] == files["whole"]
    assert len(files["out"]) == 9 * 6


@pytest.mark.slow
def test_export_of_one_translation(trained, tmp_path):
    workdir, *_ = trained
    ends = ("--from", "PHANTOM Ellipse -- B30f", "--to", "PHANTOM Ellipse -- B50f")
    words = ("export", "--workdir", workdir, *ends)
    assert_one_line(jaxharmo(*words, tmp_path / "b50f.stablehlo"), "size of the slices' pixels")
    code, _, said = jaxharmo(*words, "--pixel", 0.8, tmp_path / "b50f.stablehlo")
    assert code == 0, said
    assert (tmp_path / "b50f.stablehlo").stat().st_size > 1000


def test_another_config_in_the_same_folder_is_refused(trained, phantom):
    workdir, *_ = trained
    words = [*train_words(phantom, workdir, 6), "--model.style-dim", "9"]
    assert_one_line(run(*words), workdir, "model.style_dim")


@pytest.mark.parametrize("command", ["train.py", "eval.py"])
def test_help_of_the_scripts(command):
    code, out, said = run(command, "--help")
    assert code == 0, said
    assert "--workdir" in out
    assert not said


@pytest.mark.parametrize(
    "command", ["phantom", "prepare", "train", "eval", "harmonize", "export", "domains-of"]
)
def test_help_of_the_sub_commands(command):
    code, out, _ = jaxharmo(command, "--help")
    assert code == 0
    assert f"jaxharmo {command}" in out
    assert command in jaxharmo("--help")[1]


def test_wrong_use_ends_a_process_with_one_line():
    assert_one_line(start(*JAXHARMO, "--no-such-option"), "--no-such-option")


def test_wrong_use_is_one_line(phantom, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    text = tmp_path / "text"
    text.mkdir()
    (text / "a.dcm").write_text("no CT")
    data = ("--data", phantom, "--workdir", tmp_path / "run")
    assert_one_line(run("train.py", "--train.stepz", "3"), "--train.stepz", "--train.steps")
    assert_one_line(run("train.py", "--train.steps", "many"), "--train.steps")
    assert_one_line(run("train.py", "--config", tmp_path / "no.py"), "no.py")
    assert_one_line(run("train.py", "--config", "dmeo"), "dmeo", "demo", "lidc_texture")
    assert_one_line(jaxharmo("profile", "step", "--config", "dmeo"), "dmeo", "demo")
    assert_one_line(jaxharmo("domains-of", "no-such"), "no-such", "kernel-pairs")
    assert_one_line(jaxharmo("domains-of", text), text, "config.json")
    assert_one_line(run("train.py", "--data", empty, "--workdir", tmp_path / "run"), empty)
    assert_one_line(run("train.py", *data, "--data.domains", "B99"), "B99", "B30f", "B70f")
    assert_one_line(run("train.py", *data, "--data.crop", "100"), "data.crop")
    # What the evaluation would refuse is refused before the training.
    assert_one_line(run("train.py", *data, "--eval.tile", "160"), "--eval.tile 160", "at most 128")
    assert_one_line(
        run("train.py", *data, "--eval.targets", "B99"), "--eval.targets", "B99", "B30f"
    )
    assert not (tmp_path / "run" / "config.json").exists()
    assert_one_line(run("eval.py", "--workdir", empty), empty)
    assert_one_line(run("eval.py"), "--workdir")
    assert_one_line(jaxharmo("prepare", empty, tmp_path / "out"), empty)
    assert_one_line(jaxharmo("prepare", text, tmp_path / "out"), text)
    assert_one_line(jaxharmo("prepare", tmp_path / "none", tmp_path / "out"), "none")
    harmonize = ("harmonize", "--to", "A", text, tmp_path / "out")
    assert_one_line(jaxharmo(*harmonize), "--workdir", "--model")
    assert_one_line(jaxharmo(*harmonize, "--model", "no-such"), "no-such")
    assert_one_line(jaxharmo("domains", empty), empty)
    assert_one_line(jaxharmo("phantom", phantom), phantom)
    assert_one_line(jaxharmo("phantom", tmp_path / "out", "--domains", "B99"), "MIRAGE Oval -- L")
    assert_one_line(jaxharmo("phantom", text), text)
    assert_one_line(jaxharmo("phantom", text / "a.dcm"), "a.dcm")
    assert_one_line(run("train.py", "--data", phantom, "--workdir", text / "a.dcm"), "a.dcm")
    assert not (tmp_path / "out").exists()
