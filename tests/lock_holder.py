"""What a process that holds a lock does; light, as it is imported anew for each."""

import os
import signal

from jaxharmo.lock import locked


def hold(path, ready, job=None):
    if job:
        os.environ["SLURM_JOB_ID"] = job
    with locked(path, "it"):
        ready.set()
        signal.pause()
