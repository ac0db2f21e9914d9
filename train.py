"""Train a harmonization model, then evaluate it: ``jaxharmo train`` from a clone."""

import sys

from jaxharmo import flags
from jaxharmo.commands.train import parse

if __name__ == "__main__":
    flags.run(lambda: parse(sys.argv[1:], prog="train.py").run())
