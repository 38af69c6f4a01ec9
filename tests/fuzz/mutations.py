"""Mutations of inputs, from a seed: for the tests and for sanitized builds, where coverage guides nobody."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\xdd\xe0",
)
CHANGES_MAX = 6


def mutations(inputs: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield changed and joined inputs for ever; the same for the same seed."""
    chance = random.Random(seed)
    while True:
        data = bytearray(chance.choice(inputs))
        for _ in range(chance.randint(1, CHANGES_MAX)):
            at = chance.randint(0, len(data))
            match chance.randint(0, 5):
                case 0:
                    data[at : at + 1] = bytes([chance.randint(0, 255)])
                case 1:
                    new = chance.choice(INTERESTING)
                    data[at : at + len(new)] = new
                case 2:
                    del data[at : at + chance.randint(1, 20)]
                case 3:
                    data[at:at] = data[chance.randint(0, len(data)) :][: chance.randint(1, 60)]
                case 4:
                    other = chance.choice(inputs)
                    data[at:] = other[chance.randint(0, len(other)) :]
                case _:
                    data[at:at] = chance.randbytes(chance.randint(1, 8))
        yield bytes(data[:4096])
