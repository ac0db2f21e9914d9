"""The ``jaxharmo`` command: a table of sub-commands, each a module in ``jaxharmo/commands``."""

import sys
from collections.abc import Mapping
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Annotated, Any

import tyro

from jaxharmo import flags
from jaxharmo.errors import InputError

COMMANDS: Mapping[str, str] = {
    "phantom": "Phantom",
    "prepare": "Prepare",
    "domains": "Domains",
    "harmonize": "Harmonize",
    "export": "Export",
    "profile": "Profile",
}
"""Name, also of the module -> class of its options."""
_DESCRIPTION = (
    "CT harmonization across scanners and reconstruction kernels. "
    "Training and evaluation are train.py and eval.py. Research use; not a medical device."
)


def main() -> None:
    """Parse the arguments and run the sub-command that they name."""
    flags.run(lambda: _parse(sys.argv[1:]).run())


def _parse(args: list[str]) -> Any:
    # To import the module of every command takes seconds; reading DICOM needs no JAX.
    if args and args[0] in COMMANDS:
        return flags.parse(_options(args[0]), args[1:], prog=f"jaxharmo {args[0]}")
    if args and not args[0].startswith("-"):
        raise InputError(f"{args[0]}: no such command; there are {', '.join(COMMANDS)}")
    kinds = [Annotated[_options(name), tyro.conf.subcommand(name)] for name in COMMANDS]
    command: Any = reduce(or_, kinds)
    return flags.parse(command, args, prog="jaxharmo", description=_DESCRIPTION)


def _options(name: str) -> type:
    return getattr(import_module(f"jaxharmo.commands.{name}"), COMMANDS[name])
