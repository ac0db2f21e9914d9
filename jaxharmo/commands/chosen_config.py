"""The config of a command: a file named by ``--config``, and options that replace its values."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from jaxharmo import flags
from jaxharmo.config import Config, check
from jaxharmo.config_files import DEMO, load_config
from jaxharmo.saved_config import to_json


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChosenConfig:
    """A config file; each of its fields is an option."""

    config: str = DEMO
    """Name of a shipped config, or path of a Python file with get_config(), which is run; its
    values are the defaults of the options (--config NAME --help shows them)."""
    print_config: bool = False
    """Print the config with all options applied, as JSON, and do nothing else."""
    settings: Annotated[Config, tyro.conf.arg(name="", prefix_name=False)] = Config()

    def load(self, domains: tuple[str, ...]) -> Config:
        """The config with the options' values, and ``domains`` where it names none.

        Raises ``InputError`` where its values do not make sense together.
        """
        settings = check(self.settings)
        data = dataclasses.replace(settings.data, domains=settings.data.domains or domains)
        return dataclasses.replace(settings, data=data)


@dataclasses.dataclass(frozen=True)
class PrintConfig:
    """In place of a command with ``--print-config``."""

    settings: Config

    def run(self) -> None:
        """Print it."""
        print(to_json(self.settings), end="")


def parse_with_config(kind: Any, args: Sequence[str], prog: str) -> Any:
    """The options in ``args`` as a ``kind``, whose field ``chosen`` is a ``ChosenConfig``.

    The values of the config that ``--config`` names are the defaults of the other options, so it
    is read first. Returns a ``PrintConfig`` for ``--print-config``. Raises ``InputError`` where
    there is no such config, or an option or value is wrong.
    """
    name = flags.peek(args, "--config") or DEMO
    chosen = ChosenConfig(config=name, settings=load_config(name))
    required = {
        field.name: tyro.MISSING
        for field in dataclasses.fields(kind)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    command = flags.parse(kind, args, default=kind(chosen=chosen, **required), prog=prog)
    if command.chosen.print_config:
        return PrintConfig(check(command.chosen.settings))
    return command
