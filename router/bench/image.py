"""The byte stream of one instance on one association, encoded once and patched for each new instance."""

from __future__ import annotations

from router.bench import wire
from router.bench.hot import Image
from router.bench.instances import NUMBER_BYTES, UID_BYTES, Template, instance_uid

PDATA_HEAD_BYTES = 12
SMALL_BYTES = 65536  # up to here one send call is cheaper than a gather list


class StreamImage:
    """Command set and dataset of a C-STORE-RQ as P-DATA-TFs that fit the peer's maximum length.

    Only the head is ever written to; the remainder never changes and is shared by the associations that are
    given the same `shared`. One instance must be sent whole before the next is patched in.
    head: the octets that change, or all if they are few; rest: the others, in order.
    """

    __slots__ = ("head", "patch_head", "rest")

    def __init__(
        self,
        template: Template,
        context_id: int,
        run: int,
        maximum_length: int,
        shared: dict[tuple[int, int, int], bytes] | None = None,
    ) -> None:
        uid = instance_uid(run, 0)
        command = wire.c_store_rq(template.sop_class, uid, 0)
        key = (id(template), context_id, maximum_length)
        shared = {} if shared is None else shared
        if key not in shared:
            shared[key] = _stream(template, context_id, command, uid, maximum_length)
        stream = shared[key]
        uid_end = _uid_end(template, command)
        if stream[uid_end - UID_BYTES : uid_end] != uid.encode():
            raise ValueError(
                f"the SOP Instance UID is not in the first fragment; maximum length {maximum_length}"
            )
        split = len(stream) if len(stream) <= SMALL_BYTES else uid_end
        places = {number: start for number, start, _ in wire.command_elements(command)}
        command_uid = PDATA_HEAD_BYTES + places[wire.AFFECTED_SOP_INSTANCE_UID]
        image = Image(
            bytearray(stream[:split]),
            PDATA_HEAD_BYTES + places[wire.MESSAGE_ID],
            command_uid + UID_BYTES - NUMBER_BYTES,
            uid_end - NUMBER_BYTES,
        )
        self.head = image.head
        self.patch_head = image.patch
        self.rest = memoryview(stream)[split:]

    def patch(self, number: int, message_id: int) -> list[memoryview]:
        """Make the stream that of another instance; return it as buffers to write."""
        self.patch_head(number, message_id)
        return [memoryview(self.head), self.rest] if self.rest else [memoryview(self.head)]


def _stream(template: Template, context_id: int, command: bytes, uid: str, maximum_length: int) -> bytes:
    dataset = template.dataset_of(uid)
    parts = [wire.command_pdu(context_id, command)]
    for start, end, is_last in wire.dataset_fragments(len(dataset), maximum_length):
        parts.append(wire.pdata_head(context_id, wire.LAST_FRAGMENT if is_last else 0, end - start))
        parts.append(dataset[start:end])
    return b"".join(parts)


def _uid_end(template: Template, command: bytes) -> int:
    return PDATA_HEAD_BYTES + len(command) + PDATA_HEAD_BYTES + template.uid_offset + UID_BYTES
