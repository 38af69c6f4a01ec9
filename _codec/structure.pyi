"""Types of structure.pyx."""

from typing_extensions import Buffer

STRUCTURE_ELEMENTS_MAX: int

class StructureScan:
    next_offset: int
    fault: str
    fault_offset: int
    is_excessive: bool
    depth_max: int
    done: bool
    def __init__(self, dataset_bytes: int, implicit_vr: bool, big_endian: bool) -> None: ...
    def feed(self, data: Buffer, offset: int) -> bool: ...
