"""The two exceptions that are no fault of the program: bad input, and being asked to stop."""


class InputError(Exception):
    """Wrong use or bad input: one clear line that names the thing at fault and the mend.

    The commands print it on stderr and exit with code 2; a library caller sees an exception.
    """


class Preempted(Exception):  # noqa: N818 - no error
    """SIGTERM came; what was worth saving is saved. The commands print it and exit with code 0."""
