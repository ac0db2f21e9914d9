"""The two exceptions that are no fault of the program: bad input and SIGTERM."""


class InputError(Exception):
    """Wrong use or bad input: one clear line that names what is wrong and the remedy.

    The commands print it on stderr and exit with code 2; a library raises it.
    """


class Preempted(Exception):  # noqa: N818 - no error
    """SIGTERM was received and the state is saved. The commands print it and exit with code 0."""
