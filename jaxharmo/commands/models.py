"""``jaxharmo models``."""

import dataclasses

from jaxharmo.harmonize.shipped import card, find_model, shipped
from jaxharmo.saved_config import read_config


@dataclasses.dataclass(frozen=True)
class Models:
    """List the models that come with the package: name, purpose, domains."""

    def run(self) -> None:
        """Print them."""
        for name in shipped():
            print(f"{name}: {card(name)}")
            for domain in read_config(find_model(name)).data.domains:
                print(f"  {domain}")
