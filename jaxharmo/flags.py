"""Options of the commands -> dataclass; errors -> one line and an exit code."""

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from jaxharmo.clean_path import clean_path
from jaxharmo.errors import InputError, Preempted


def parse(kind: Any, args: Sequence[str], **options: Any) -> Any:
    """The flags in ``args`` as a ``kind``; ``InputError`` with tyro's reason in one line."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            # Of a union, the kind that the default has; another kind is another config.
            kinds = (tyro.conf.AvoidSubcommands,)
            return tyro.cli(kind, args=list(args), config=kinds, **options)
    except ValueError as error:
        raise InputError(str(error)) from error
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise InputError(_first_sentence(complaint.getvalue())) from None


def peek(args: Sequence[str], name: str) -> str | None:
    """The value of one option, before the defaults of the others are known."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(name, dest="value")
    try:
        return parser.parse_known_args(args)[0].value
    except argparse.ArgumentError as error:
        raise InputError(f"{name}: {error.message}") from error


def run(command: Callable[[], None]) -> None:
    """Run ``command`` and exit: 0 done, 1 the work failed, 2 wrong use or input, 130 interrupted.

    After SIGTERM with all saved the code is 0, so that a cluster does not count it as a failure.
    Bad input, losses that are not finite and a disk that fails are one line on stderr; any other
    failure is a fault of ours and keeps its traceback. What it starts has a clean path.
    """
    clean_path()
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Preempted as stop:
        print(stop, file=sys.stderr)
        sys.exit(0)
    except (FloatingPointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)


def _first_sentence(box: str) -> str:
    """Tyro prints errors in a frame; its first part names what is wrong."""
    lines = [re.sub(r"[│╭╮╰╯─]", "", line).strip() for line in box.splitlines()[1:]]
    parts = "\n".join(lines).split("\n\n")
    said = " ".join(parts[0].split())
    hint = re.search(r"Perhaps you meant:\n(\S+)", "\n".join(lines))
    hint_text = f"; perhaps you meant {hint[1]}" if hint else ""
    return f"{said}{hint_text} (--help lists all)"
