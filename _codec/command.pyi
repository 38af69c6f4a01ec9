"""Types of command.pyx."""

from collections.abc import Mapping, Sequence

from typing_extensions import Buffer

def decode_command(data: Buffer) -> dict[int, int | str | bytes | tuple[int, ...]]: ...
def encode_command(fields: Mapping[int, int | str | bytes | Sequence[int]]) -> bytes: ...
