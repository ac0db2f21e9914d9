"""SIGTERM: how Slurm, Kubernetes and clouds announce that a machine is about to be taken away."""

import os
import signal
import threading
from types import FrameType

import jax
from jax.experimental import multihost_utils

from jaxharmo.console import message
from jaxharmo.errors import Preempted

_NOTHING_LOST = "SIGTERM: stopped; nothing is lost, run the same command again"


def end_on_sigterm() -> None:
    """From here on SIGTERM raises ``Preempted``: for work of which nothing has to be saved."""
    signal.signal(signal.SIGTERM, _end)


class Preemption:
    """Records SIGTERM in a ``with`` block of the main thread; to be polled after every step.

    Until ``begin``, while a program starts and compiles, which a Python handler cannot interrupt,
    SIGTERM ends it at once with code 0. With several processes JAX's preemption service lets all
    of them stop at the same step, whichever got the signal. No device takes part in that.
    """

    def __init__(self) -> None:
        self._told = self._begun = False
        self._calls = 0
        self._alone = jax.process_count() == 1

    def __enter__(self) -> "Preemption":
        self._handles = threading.current_thread() is threading.main_thread()
        if self._handles:
            # In a cluster JAX's handler is installed, outside of Python's.
            self._before = signal.getsignal(signal.SIGTERM)
            if self._alone:
                signal.signal(signal.SIGTERM, self._note)
                reader, self._writer = os.pipe()
                os.set_blocking(self._writer, False)
                self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
                threading.Thread(target=self._watch, args=(reader,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._handles:
            return
        if self._alone:
            signal.set_wakeup_fd(self._wakeup_before)
            os.close(self._writer)
        signal.signal(signal.SIGTERM, self._before)
        if self._told and kind is None:
            raise Preempted(_NOTHING_LOST)

    def begin(self) -> None:
        """From here on ``reached`` is polled."""
        self._begun = True
        if self._told:
            raise Preempted(_NOTHING_LOST)

    def reached(self) -> bool:
        """Whether to save and stop now. Call it once per call of the step."""
        # JAX lets all stop at the call after the last that one has made, and takes it that the
        # first is 1: by the number of the step, a run that is resumed could miss it.
        self._calls += 1
        if self._alone:
            return self._told
        return multihost_utils.reached_preemption_sync_point(self._calls)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._told = True

    def _watch(self, reader: int) -> None:
        """In a thread: the interpreter writes the number of a signal when it comes."""
        while signals := os.read(reader, 64):
            if signal.SIGTERM in signals and not self._begun:
                message(_NOTHING_LOST)
                os._exit(0)
        os.close(reader)


def _end(number: int, frame: FrameType | None) -> None:
    raise Preempted(_NOTHING_LOST)
