"""Config files: the shipped ones by name, any other by its path.

The shipped configs lie in ``configs/`` at the top of a clone, and in ``jaxharmo/configs/`` of an
installed wheel.
"""

import runpy
import sys
from pathlib import Path

from jaxharmo.config import Config
from jaxharmo.errors import InputError

DEMO = "demo"
"""The config of a command that names none."""
_INSTALLED = Path(__file__).parent / "configs"
_CLONED = Path(__file__).parents[1] / "configs"


def config_folder() -> Path:
    """The folder of the shipped configs."""
    # The wheel's own folder first: beside an installed package, `configs` may be anybody's.
    return _INSTALLED if _INSTALLED.is_dir() else _CLONED


def shipped_configs() -> list[str]:
    """Names of the configs that come with the package."""
    return sorted(path.stem for path in config_folder().glob("*.py"))


def find_config(name: str) -> Path:
    """The file of a config: ``name`` is a path, or the bare name of a shipped config.

    A name with a slash or the ending ``.py`` is a path. Any other is looked up among the shipped
    configs only, because a config is code and none may be picked up unasked from a folder of data.
    Raises ``InputError`` where there is no such file.
    """
    if "/" in name or "\\" in name or name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name}: no such config file; shipped by name: {_names()}")
        return path
    if name not in shipped_configs():
        raise InputError(
            f"no shipped config '{name}'; there are {_names()}; or give a path that ends in .py"
        )
    return config_folder() / f"{name}.py"


def load_config(name: str) -> Config:
    """What ``get_config()`` of a config file returns; ``name`` as for ``find_config``.

    A config is code and is run: name only files that you would run as a script. Raises
    ``InputError`` where the file is missing, fails, or returns something else.
    """
    path = find_config(name)
    # As a script may, a config may import its neighbours.
    sys.path.insert(0, str(path.parent.absolute()))
    try:
        config = runpy.run_path(str(path)).get("get_config", lambda: None)()
    except Exception as error:
        raise InputError(f"{path}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(config, Config):
        raise InputError(f"{path}: has no get_config() that returns a jaxharmo Config")
    return config


def _names() -> str:
    return ", ".join(shipped_configs())
