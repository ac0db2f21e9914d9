"""Checkpoints of named pytrees by step, with Orbax; the only file that knows Orbax."""

import logging
from pathlib import Path
from typing import Any, TypeVar

from orbax.checkpoint import v1 as ocp

from jaxharmo.errors import InputError

FOLDER = "checkpoints"
Trees = TypeVar("Trees", bound=dict[str, Any])

# Orbax tells every save in a dozen lines.
logging.getLogger("absl").setLevel(logging.ERROR)


class Checkpoints:
    """The checkpoints under ``RUN/checkpoints``; saving runs in the background.

    Used as a context manager: leaving it waits for the last save. A save killed half-way leaves no
    checkpoint, and the one before stays. The one process that trains names how many to ``keep``;
    without it nothing is removed, not even what looks like the remains of a killed save.
    """

    def __init__(self, workdir: Path, keep: int | None = None):
        policies: Any = ocp.training.preservation_policies
        decisions: Any = ocp.training.save_decision_policies
        self._workdir = workdir
        self._checkpointer = ocp.training.Checkpointer(
            str((workdir / FOLDER).absolute()),
            # The caller decides when to save.
            save_decision_policy=decisions.FixedIntervalPolicy(1),
            preservation_policy=policies.LatestN(keep) if keep else policies.PreserveAll(),
            cleanup_tmp_directories=keep is not None,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._checkpointer.close()

    @property
    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, rising."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def save(self, step: int, trees: dict[str, Any]) -> None:
        """Begin to save the named trees; they are copied first, so they may be donated at once."""
        self._checkpointer.save_checkpointables_async(step, trees)

    def restore(self, step: int, like: Trees) -> Trees:
        """The trees named in ``like``, in its structure and shardings; others are not read.

        Raises ``InputError`` where one does not fit, for example after a change of the model.
        """
        try:
            return self._checkpointer.load_checkpointables(step, like)  # pyright: ignore[reportReturnType]
        except (ValueError, KeyError, OSError) as error:
            (reason, *_) = [*str(error).strip().splitlines(), type(error).__name__]
            raise InputError(
                f"{self._workdir / FOLDER / str(step)}: damaged, or of another model "
                f"({reason[:200]}); delete this folder to go on from the checkpoint before it"
            ) from error


def has_checkpoints(workdir: Path) -> bool:
    """Whether training in ``workdir`` would go on from a checkpoint."""
    if not (workdir / FOLDER).is_dir():
        return False
    with Checkpoints(workdir) as checkpoints:
        return bool(checkpoints.steps)


def find_step(workdir: Path, step: int | None) -> int:
    """``step``, or the newest; ``InputError`` listing the steps that exist where it does not."""
    if not (workdir / FOLDER).is_dir():
        raise InputError(f"{workdir}: no {FOLDER} in it; name a folder that train.py wrote")
    with Checkpoints(workdir) as checkpoints:
        steps = checkpoints.steps
    if not steps:
        raise InputError(f"{workdir / FOLDER}: no finished checkpoint; train first")
    if step is not None and step not in steps:
        found = ", ".join(map(str, steps))
        raise InputError(f"{workdir / FOLDER}: no checkpoint of step {step}; there are: {found}")
    return steps[-1] if step is None else step
