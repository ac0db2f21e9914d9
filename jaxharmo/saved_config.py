"""The config of a run as JSON: ``RUN/config.json``, also in model folders."""

import dataclasses
import json
from pathlib import Path

from jaxharmo.config import Config, check
from jaxharmo.errors import InputError
from jaxharmo.files import write_text
from jaxharmo.typed import build

FILE_NAME = "config.json"
FORMAT_VERSION = 1


def to_json(config: Config) -> str:
    """The config as indented JSON."""
    content = {"format_version": FORMAT_VERSION} | dataclasses.asdict(config)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Config:
    """Read ``to_json``'s output back; ``InputError`` on unknown fields and wrong types."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format_version", None) != FORMAT_VERSION:
        raise InputError(f"not a config of format version {FORMAT_VERSION}")
    return check(build(Config, content, "config"))


def read_config(workdir: Path) -> Config:
    """The config of the run in ``workdir``; ``InputError`` where there is none."""
    path = workdir / FILE_NAME
    if not path.is_file():
        raise InputError(f"{workdir}: no {FILE_NAME} in it; name the folder of a training run")
    try:
        config = from_json(path.read_text(encoding="utf-8"))
    except (InputError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    if not config.data.domains:
        raise InputError(f"{path}: names no domains; it is not the config of a training run")
    return config


def write_config(workdir: Path, config: Config) -> None:
    """Write ``RUN/config.json``, atomically."""
    write_text(workdir / FILE_NAME, to_json(config))
