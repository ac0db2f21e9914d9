"""Which config a command uses, and overrides of its fields: options that several commands share."""

import dataclasses
import sys
from typing import Annotated

import tyro

from jaxharmo import flags
from jaxharmo.config import Config, check
from jaxharmo.config_files import DEMO, load_config


def named_config() -> Config:
    """The config that ``--config`` names on the command line, or the demo's.

    Its values are the defaults of the options, so it is read before they are parsed. Raises
    ``InputError`` where there is no such config.
    """
    return load_config(flags.peek(sys.argv[1:], "--config") or DEMO)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChosenConfig:
    """A config file, any field of which is an option, too."""

    config: str = DEMO
    """Name of a shipped config, or path of a Python file with get_config(), which is run; its
    values are the defaults of the options."""
    settings: Annotated[Config, tyro.conf.arg(name="", prefix_name=False)] = dataclasses.field(
        default_factory=named_config
    )

    def load(self, domains: tuple[str, ...]) -> Config:
        """The config with the options' values, and ``domains`` where it names none.

        Raises ``InputError`` where its values do not make sense together.
        """
        settings = check(self.settings)
        data = dataclasses.replace(settings.data, domains=settings.data.domains or domains)
        return dataclasses.replace(settings, data=data)
