"""The ``jaxharmo`` command; nothing else is imported before the path is clean."""

import sys

from jaxharmo.clean_path import clean_path
from jaxharmo.isolation import warm_up


def main() -> None:
    """Run the sub-command that the arguments name."""
    clean_path()
    if sys.argv[1:2] in (["prepare"], ["harmonize"]):
        # Helpers get ready while the command's modules are imported here.
        warm_up()
    from jaxharmo.cli import main as command

    command()


if __name__ == "__main__":
    main()
