"""The ``jaxharmo`` command: a table of sub-commands, each a module in ``jaxharmo/commands``.

A module holds the class of its options, which has a ``run`` method. A module with a function
``parse(args, prog)`` reads its arguments itself, because defaults depend on one of them.
"""

import ast
import dataclasses
import sys
from collections.abc import Mapping
from functools import reduce
from importlib import import_module
from importlib.resources import files
from operator import or_
from types import ModuleType
from typing import Annotated, Any

import tyro

from jaxharmo import flags
from jaxharmo.errors import InputError
from jaxharmo.version import __version__

COMMANDS: Mapping[str, tuple[str, str]] = {
    "phantom": ("phantom", "Phantom"),
    "prepare": ("prepare", "Prepare"),
    "rescan": ("rescan", "Rescan"),
    "domains": ("domains", "Domains"),
    "train": ("train", "Train"),
    "eval": ("evaluate", "Evaluate"),
    "benchmark": ("benchmark", "Benchmark"),
    "harmonize": ("harmonize", "Harmonize"),
    "view": ("view", "View"),
    "extend": ("extend", "Extend"),
    "export": ("export", "Export"),
    "models": ("models", "Models"),
    "domains-of": ("domains_of", "DomainsOf"),
    "profile": ("profile", "Profile"),
    "plan": ("plan", "Plan"),
}
"""Name -> module and class of its options."""
_DESCRIPTION = (
    "CT harmonization across scanners and reconstruction kernels. "
    "Research use; not a medical device."
)


def main() -> None:
    """Parse the arguments and run the sub-command that they name."""
    flags.run(lambda: parse(sys.argv[1:]).run())


class _Version:
    def run(self) -> None:
        print(f"jaxharmo {__version__}")


def parse(args: list[str]) -> Any:
    """The sub-command that ``args`` name, with its options: an object with a method ``run``."""
    if args == ["--version"]:
        return _Version()
    # To import the module of every command takes seconds; reading DICOM needs no JAX.
    if args and args[0] in COMMANDS:
        own = getattr(module(args[0]), "parse", None)
        prog = f"jaxharmo {args[0]}"
        return own(args[1:], prog) if own else flags.parse(options(args[0]), args[1:], prog=prog)
    if args and not args[0].startswith("-"):
        raise InputError(f"{args[0]}: no such command; there are {', '.join(COMMANDS)}")
    kinds = [Annotated[_described(name), tyro.conf.subcommand(name)] for name in COMMANDS]
    command: Any = reduce(or_, kinds)
    return flags.parse(command, args, prog="jaxharmo", description=_DESCRIPTION)


def _described(name: str) -> type:
    """A class without fields that has the docstring of a sub-command's options.

    The docstring is read from the source: to list the commands, none of them is imported.
    """
    module, kind = COMMANDS[name]
    source = (files("jaxharmo.commands") / f"{module}.py").read_text("utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    (found,) = (node for node in classes if node.name == kind)
    return dataclasses.make_dataclass(kind, [], namespace={"__doc__": ast.get_docstring(found)})


def module(name: str) -> ModuleType:
    """The module of a sub-command."""
    return import_module(f"jaxharmo.commands.{COMMANDS[name][0]}")


def options(name: str) -> type:
    """The class of a sub-command's options."""
    return getattr(module(name), COMMANDS[name][1])
