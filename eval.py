"""Evaluate a checkpoint of a run, or compare runs: ``jaxharmo eval`` from a clone."""

import sys

from jaxharmo import flags
from jaxharmo.commands.evaluate import parse

if __name__ == "__main__":
    flags.run(lambda: parse(sys.argv[1:], prog="eval.py").run())
