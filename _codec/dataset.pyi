"""Types of dataset.pyx."""

from typing_extensions import Buffer

NESTING_MAX: int
VALUE_MAX_BYTES: int

def scan_attributes(
    data: Buffer, start: int, implicit_vr: bool, big_endian: bool, wanted: tuple[int, ...]
) -> tuple[dict[int, tuple[str, bytes]], int, bool]: ...
