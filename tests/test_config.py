import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from jaxharmo.config import Config, DataConfig, check
from jaxharmo.config_files import find_config, load_config, shipped_configs
from jaxharmo.errors import InputError
from jaxharmo.saved_config import from_json, read_config, to_json, write_config

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_are_consistent_and_survive_json(path):
    config = check(load_config(str(path)))
    assert from_json(to_json(config)) == config


def test_written_config_reads_back(tmp_path):
    config = Config(data=DataConfig(domains=("A -- <b>", "Ü -- 1")))
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("train", "steps"), "many", "train.steps"),
        (("train", "steps"), True, "train.steps"),
        (("train", "stepz"), 3, "stepz"),
        (("data", "window"), [1.0], "data.window"),
        (("texture", "compare"), "nothing", "texture.compare"),
        (("texture", "glcm", "levels"), 1, "levels"),
        (("data", "crop"), 100, "data.crop"),
        (("data", "window"), [-1e9, 400.0], "data.window"),
        (("data", "domains"), ["A", "A"], "data.domains"),
        (("model", "width"), 0, "model.width"),
        (("optim", "learning_rate"), float("nan"), "learning_rate"),
        (("optim", "ema"), 5.0, "optim.ema"),
        (("optim", "cosine_steps"), 50, "train.steps must not exceed optim.cosine_steps, 50"),
        (("train", "seed"), -1, "train.seed"),
        (("texture", "features"), ["contarst"], "contarst"),
        (("loss", "spread"), 1.0, "loss.spread is for"),
        (("loss", "levels"), 1.0, "calibration and loss.levels go together"),
    ],
)
def test_bad_json_names_the_field(path, value, named):
    content = json.loads(to_json(Config()))
    part = content
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(InputError, match=named):
        from_json(json.dumps(content))


@pytest.mark.parametrize("part", dataclasses.fields(Config), ids=lambda part: part.name)
def test_every_field_is_documented(part):
    source = inspect.getsource(type(getattr(Config(), part.name))).splitlines()
    for number, line in enumerate(source):
        if re.match(r"    \w+: ", line):
            assert source[number + 1].startswith('    """'), line


def test_missing_run_is_named(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize("content", [b"\xff", b"[]", b"null", to_json(Config()).encode()])
def test_damaged_config_is_bad_input(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=r"config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "code",
    [
        "def get_config(:\n",
        "import jaxharmo.nothing\n",
        "from jaxharmo.config import Config\ndef get_config():\n    return Config(trian=1)\n",
    ],
)
def test_config_file_with_an_error(tmp_path, code):
    path = tmp_path / "wrong.py"
    path.write_text(code)
    with pytest.raises(InputError, match=r"wrong\.py: .*Error"):
        load_config(str(path))


def test_config_file_without_get_config(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("x = 1\n")
    with pytest.raises(InputError, match="get_config"):
        load_config(str(path))


def test_a_bare_name_is_a_shipped_config_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("demo", "demo.py", "mine.py"):
        Path(name).write_text("raise SystemExit('it was run')\n")
    assert find_config("demo").parent == CONFIGS[0].parent
    assert shipped_configs() == [path.stem for path in CONFIGS]
    assert find_config("demo.py") == Path("demo.py")
    assert find_config("./mine.py") == Path("mine.py")
    with pytest.raises(
        InputError, match=r"no shipped config 'mine'.*demo, iterative, kernel_pairs"
    ):
        find_config("mine")
    with pytest.raises(InputError, match=r"\./demo2: no such config file"):
        find_config("./demo2")
