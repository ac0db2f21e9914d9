"""Which model a command uses: options that several commands share."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxharmo.errors import InputError
from jaxharmo.harmonize.harmonizer import Harmonizer, load
from jaxharmo.harmonize.shipped import shipped
from jaxharmo.saved_config import read_config


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChosenModel:
    """One of a run and a model."""

    workdir: Path | None = None
    """Folder of the training run whose model is used."""
    step: int | None = None
    """Checkpoint of the run; the newest if not given."""
    model: str | None = None
    """Shipped model by its name, or a folder written by 'jaxharmo export', instead of a run."""

    @property
    def anywhere(self) -> "ChosenModel":
        """The same for processes with another working folder."""
        model = self.model
        if model is not None and model not in shipped():
            model = str(Path(model).absolute())
        workdir = self.workdir and self.workdir.absolute()
        return dataclasses.replace(self, workdir=workdir, model=model)

    def load(self, **options: Any) -> Harmonizer:
        """The model, with the ``options`` of ``harmonizer.load``; ``InputError`` where not one."""
        if (self.workdir is None) == (self.model is None):
            raise InputError("name one model: --workdir RUN, or --model NAME")
        if self.workdir is not None:
            read_config(self.workdir)
        named = self.workdir or self.model
        assert named is not None
        return load(named, step=self.step, **options)
