"""The byte stream of one instance on one association, encoded once and patched for each new instance."""

from __future__ import annotations

from router.bench import wire
from router.bench.instances import NUMBER_BYTES, UID_BYTES, Template, instance_uid

PDATA_HEAD_BYTES = 12
SMALL_BYTES = 65536  # up to here one send call is cheaper than a gather list


class StreamImage:
    """Command set and dataset of a C-STORE-RQ as P-DATA-TFs that fit the peer's maximum length.

    Only the first part is ever written to; the remainder is shared memory that never changes. One instance
    must be sent whole before the next is patched in.
    answer_offsets: PDU length -> (offset of Message ID Being Responded To, offset of Status) in an answer.
    """

    def __init__(self, template: Template, context_id: int, run: int, maximum_length: int) -> None:
        uid = instance_uid(run, 0)
        command = wire.c_store_rq(template.sop_class, uid, 0)
        dataset = template.dataset_of(uid)
        parts = [wire.command_pdu(context_id, command)]
        for start, end, is_last in wire.dataset_fragments(len(dataset), maximum_length):
            header = wire.LAST_FRAGMENT if is_last else 0
            parts.append(wire.pdata_head(context_id, header, end - start))
            parts.append(dataset[start:end])
        first_fragment_end = sum(map(len, parts[:2])) + template.uid_offset + UID_BYTES
        stream = b"".join(parts)
        split = len(stream) if len(stream) <= SMALL_BYTES else first_fragment_end
        if stream[first_fragment_end - UID_BYTES : first_fragment_end] != uid.encode():
            raise ValueError(
                f"the SOP Instance UID is not in the first fragment; maximum length {maximum_length}"
            )
        self._head = bytearray(stream[:split])
        self._views = [memoryview(self._head)]
        if split < len(stream):
            self._views.append(memoryview(stream)[split:])
        places = {number: (start, end) for number, start, end in wire.command_elements(command)}
        command_uid = PDATA_HEAD_BYTES + places[wire.AFFECTED_SOP_INSTANCE_UID][0]
        self._id_offset = PDATA_HEAD_BYTES + places[wire.MESSAGE_ID][0]
        self._command_number = command_uid + UID_BYTES - NUMBER_BYTES
        self._dataset_number = first_fragment_end - NUMBER_BYTES
        self.answer_offsets: dict[int, tuple[int, int]] = {}

    def patch(self, number: int, message_id: int) -> list[memoryview]:
        """Make the stream that of another instance; return it as buffers to write."""
        head = self._head
        digits = b"%010d" % number
        head[self._command_number : self._command_number + NUMBER_BYTES] = digits
        head[self._dataset_number : self._dataset_number + NUMBER_BYTES] = digits
        head[self._id_offset : self._id_offset + 2] = message_id.to_bytes(2, "little")
        return self._views.copy()

    def learn_answer(self, pdu: bytes) -> tuple[int, int]:
        """Find Message ID and Status in a C-STORE-RSP that came as one P-DATA-TF of one PDV."""
        command = pdu[PDATA_HEAD_BYTES:]
        places = {number: start for number, start, _ in wire.command_elements(command)}
        field = places[wire.COMMAND_FIELD]
        if wire.uint(command[field : field + 2]) != wire.C_STORE_RSP:
            raise ValueError(f"not a C-STORE-RSP: command field {command[field : field + 2].hex()}")
        offsets = (
            PDATA_HEAD_BYTES + places[wire.MESSAGE_ID_BEING_RESPONDED_TO],
            PDATA_HEAD_BYTES + places[wire.STATUS],
        )
        self.answer_offsets[len(pdu)] = offsets
        return offsets
