"""Imports go down only: a module may import its own package and what lies on lower floors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "errors": -1,
    "clean_path": -1,
    "version": -1,
    "isolation": 0,
    "lock": 0,
    "files": 0,
    "pages": 0,
    "typed": 0,
    "hlo": 0,
    "ops": 0,
    "config": 1,
    "console": 1,
    "runtime": 1,
    "flags": 1,
    "checkpoint": 2,
    "config_files": 2,
    "saved_config": 2,
    "preemption": 2,
    "models": 2,
    "losses": 2,
    "data": 2,
    "translator": 3,
    "training": 3,
    "evaluation": 4,
    "harmonize": 4,
    "planning": 4,
    "profiling": 4,
    "experiment": 5,
    "__init__": 5,
    "benchmark": 6,
    "commands": 7,
    "cli": 8,
    "__main__": 9,
}

MODULES = sorted((ROOT / "jaxharmo").rglob("*.py"))


def place(module):
    """The top-level part of jaxharmo that a dotted name or a path belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            package = node.module or ""
            if package == "jaxharmo":
                yield from (f"jaxharmo.{alias.name}" for alias in node.names)
            else:
                yield package


def own_part(path):
    return path.relative_to(ROOT / "jaxharmo").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path):
    own = own_part(path)
    for name in imports(path):
        if name.split(".")[0] == "jaxharmo":
            other = place(name)
            assert other == own or FLOORS[other] < FLOORS[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_linen_stays_in_models(path):
    if own_part(path) != "models":
        assert not any(name.startswith("flax") for name in imports(path))


def test_evaluation_and_training_are_blind_to_each_other():
    assert FLOORS["evaluation"] > FLOORS["training"]
    for path in (ROOT / "jaxharmo" / "evaluation").rglob("*.py"):
        assert not any(name.startswith("jaxharmo.training") for name in imports(path))


def test_no_file_outgrows_the_house():
    long = {str(path): len(path.read_text().splitlines()) for path in MODULES}
    assert not {name: length for name, length in long.items() if length > 400}


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_entry_scripts_are_short(script):
    assert len((ROOT / script).read_text().splitlines()) <= 60
