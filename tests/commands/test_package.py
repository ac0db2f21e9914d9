"""What is in the package, as one sees it who installed it and has no clone."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from test_commands import SMALL, jaxharmo

import jaxharmo as package
from jaxharmo.config_files import shipped_configs
from jaxharmo.harmonize.shipped import PRETRAINED, shipped
from jaxharmo.saved_config import read_config

ROOT = Path(__file__).parents[2]
FRONT_MATTER = ("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md")


def test_models_are_listed_with_their_domains():
    code, out, _ = jaxharmo("models")
    assert code == 0
    assert shipped()
    for name in shipped():
        (line,) = (line for line in out.splitlines() if line.startswith(f"{name}: "))
        assert len(line) > 40
        for domain in read_config(PRETRAINED / name).data.domains:
            assert f"  {domain}\n" in out


@pytest.mark.parametrize("named", ["kernel-pairs", PRETRAINED / "kernel-pairs"])
def test_domains_of_a_model(named):
    code, out, _ = jaxharmo("domains-of", named)
    assert code == 0
    assert tuple(out.splitlines()) == read_config(PRETRAINED / "kernel-pairs").data.domains


def test_version():
    assert jaxharmo("--version")[:2] == (0, f"jaxharmo {package.__version__}\n")
    assert re.fullmatch(r"\d+\.\d+\.\d+", package.__version__)


def test_the_change_log_starts_with_what_is_newer_than_the_last_release():
    headings = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0].startswith(package.__version__)


def run(*words, **options):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with a wheel, built from the source distribution beside it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Folder of the programs of an environment that holds the wheel.

    What it depends on comes from the environment of the tests, so that nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    (wheel,) = built.glob("*.whl")
    programs = folder / "bin"
    run(programs / "python", "-m", "pip", "install", "--no-deps", wheel)
    (site,) = folder.glob("lib/*/site-packages")
    ours = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{ours}\n")
    return programs


@pytest.mark.slow
def test_archives_hold_configs_and_models(built):
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"jaxharmo/configs/{name}.py" for name in shipped_configs()} <= names
    assert {name.split("/")[0] for name in names} == {
        "jaxharmo",
        f"jaxharmo-{package.__version__}.dist-info",
    }
    for model in shipped():
        assert f"jaxharmo/pretrained/{model}/weights.npz" in names
        assert f"jaxharmo/pretrained/{model}/README.md" in names
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {*FRONT_MATTER, "train.py", "eval.py", "configs/demo.py", "docs/method.md"} <= inside


@pytest.mark.slow
def test_the_wheel_alone_trains_and_evaluates(installed, phantom, tmp_path):
    command = installed / "jaxharmo"
    # Neither the clone nor a file that has the name of a config may be used in its place.
    (tmp_path / "demo.py").write_text("raise SystemExit('it was run')\n")
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    place = {"cwd": tmp_path, "env": environment}
    where = run(
        installed / "python", "-P", "-c", "import jaxharmo; print(jaxharmo.__file__)", **place
    )
    assert str(installed.parent) in where
    assert run(command, "models", **place) == jaxharmo("models")[1]
    words = ("--data", phantom, "--train.steps", "2", "--optim.cosine-steps", "2", *SMALL)
    out = run(command, "train", *words, **place)
    assert "B30f → " in out
    assert (tmp_path / "runs" / "demo" / "eval" / "2" / "report.html").is_file()
    out = run(command, "eval", "--workdir", "runs/demo", "--split", "validation", **place)
    assert "report.html" in out
