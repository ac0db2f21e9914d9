"""The one exception that stands for wrong use or bad input."""


class InputError(Exception):
    """Wrong use or bad input: one clear line that names the thing at fault and the mend.

    The commands print it on stderr and exit with code 2; a library caller sees an exception.
    """
