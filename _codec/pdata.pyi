"""Types of pdata.pyx."""

from collections.abc import Sequence

from typing_extensions import Buffer

FRAGMENT_MAX_BYTES: int

def command_pdus(context_id: int, command: Buffer, maximum_length: int) -> bytes: ...
def dataset_pdus(
    context_id: int, buffers: Sequence[Buffer], maximum_length: int, is_last: bool = True
) -> list[bytes | memoryview]: ...
