"""``jaxharmo domains-of``."""

import dataclasses
from typing import Annotated

import tyro

from jaxharmo.harmonize.shipped import find_model
from jaxharmo.saved_config import read_config


@dataclasses.dataclass(frozen=True)
class DomainsOf:
    """List the domains of a model, one a line, as --to and --from take them."""

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="MODEL")]]
    """Shipped model by its name, or the folder of an exported model or of a run."""

    def run(self) -> None:
        """Print them."""
        print("\n".join(read_config(find_model(self.model)).data.domains))
