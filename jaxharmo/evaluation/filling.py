"""How far blocks of slices are filled up, so that few shapes are compiled."""


def filled_length(count: int, most: int) -> int:
    """``count`` rounded up to a power of four, and to ``most`` where that is less."""
    return min(most, 4 ** (((count - 1).bit_length() + 1) // 2))
