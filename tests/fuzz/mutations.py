"""Bytes -> damaged bytes, as disks, transfers and ill will leave them; the same seed, the same."""

LENGTHS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**32 - 2, 2**32 - 1)


def mutate(data, random):
    """One to three kinds of damage, one after another."""
    for _ in range(random.integers(1, 4)):
        if data:
            data = KINDS[random.integers(len(KINDS))](data, random)
    return data


def flip_a_bit(data, random):
    place = random.integers(len(data))
    return put(data, place, bytes([data[place] ^ 1 << int(random.integers(8))]))


def replace_a_byte(data, random):
    return put(data, random.integers(len(data)), random.bytes(1))


def replace_a_run(data, random):
    length = int(random.integers(2, 65))
    run = random.bytes(length) if random.random() < 0.5 else random.bytes(1) * length
    return put(data, random.integers(len(data)), run)


def truncate(data, random):
    return data[: random.integers(len(data))]


def splice(data, random):
    """A block of the data once more, at another place."""
    start, length = random.integers(len(data)), int(random.integers(1, 513))
    block, place = data[start : start + length], int(random.integers(len(data)))
    if random.random() < 0.5:
        return put(data, place, block)
    return data[:place] + block + data[place:]


def remove(data, random):
    place, length = int(random.integers(len(data))), int(random.integers(1, 65))
    return data[:place] + data[place + length :]


def forge_a_length(data, random):
    """An extreme number, as it stands before things of some length."""
    number = LENGTHS[random.integers(len(LENGTHS))]
    width, order = int(random.choice([2, 4])), str(random.choice(["little", "big"]))
    field = (number % 2 ** (8 * width)).to_bytes(width, order)
    return put(data, random.integers(len(data)), field)


def put(data, place, part):
    part = part[: len(data) - place]
    return data[:place] + part + data[place + len(part) :]


def in_part(damage, start, stop):
    """The same damage to a part of the data only: a header, or a text that is not compressed."""

    def damaged(data, random):
        return data[:start] + damage(data[start:stop], random) + data[stop:]

    return damaged


KINDS = (
    flip_a_bit, replace_a_byte, replace_a_run, truncate, splice, remove, forge_a_length,
)  # fmt: skip
