"""Where a C-STORE-RQ command set of one length changes, and the answer that is patched instead of encoded."""

from __future__ import annotations

from dataclasses import dataclass

from router.bench import wire
from router.bench.hot import UID_BYTES, Skimmer
from router.bench.tally import number_of

PDATA_HEAD_BYTES = 12


@dataclass(slots=True)
class Layout:
    """One look of a command set. answer: the PDU that answers it; offsets are in command, or in answer."""

    before_id: bytes
    id_offset: int
    between: bytes
    uid_offset: int
    uid_end: int
    answer: bytearray
    answer_id_offset: int
    answer_uid_offset: int
    status_offset: int

    @classmethod
    def of(cls, context_id: int, command: bytes) -> Layout:
        """Take the layout of a command set."""
        places = {number: (start, end) for number, start, end in wire.command_elements(command)}
        id_offset = places[wire.MESSAGE_ID][0]
        uid_offset, uid_end = places[wire.AFFECTED_SOP_INSTANCE_UID]
        response = wire.response(wire.decode_command(command), 0)
        answer_places = {number: start for number, start, _ in wire.command_elements(response)}
        return cls(
            before_id=command[:id_offset],
            id_offset=id_offset,
            between=command[id_offset + 2 : uid_offset],
            uid_offset=uid_offset,
            uid_end=uid_end,
            answer=bytearray(wire.command_pdu(context_id, response)),
            answer_id_offset=PDATA_HEAD_BYTES + answer_places[wire.MESSAGE_ID_BEING_RESPONDED_TO],
            answer_uid_offset=PDATA_HEAD_BYTES + answer_places[wire.AFFECTED_SOP_INSTANCE_UID],
            status_offset=PDATA_HEAD_BYTES + answer_places[wire.STATUS],
        )

    def fits(self, command: bytes) -> bool:
        """Tell whether a command set of the same length differs in Message ID and SOP Instance UID only."""
        return (
            command.startswith(self.before_id)
            and command[self.id_offset + 2 : self.uid_offset] == self.between
        )

    def uid_of(self, command: bytes) -> bytes:
        """Return the value of the SOP Instance UID."""
        return command[self.uid_offset : self.uid_end]

    def answer_to(self, command: bytes, status: int) -> bytes:
        """Return the PDU that answers the command set."""
        uid, answer = self.uid_of(command), self.answer
        answer[self.answer_id_offset : self.answer_id_offset + 2] = command[
            self.id_offset : self.id_offset + 2
        ]
        answer[self.answer_uid_offset : self.answer_uid_offset + len(uid)] = uid
        answer[self.status_offset : self.status_offset + 2] = status.to_bytes(2, "little")
        return bytes(answer)

    def show(self, skimmer: Skimmer, context_id: int, command: bytes, size: int) -> None:
        """Let the skimmer take such commands, if they are about the load tool's own instances.

        size: of their datasets, 0 = any.
        """
        if self.uid_end - self.uid_offset == UID_BYTES and number_of(self.uid_of(command)) is not None:
            skimmer.learn(
                wire.command_pdu(context_id, command),
                PDATA_HEAD_BYTES + self.id_offset,
                PDATA_HEAD_BYTES + self.uid_offset,
                bytearray(self.answer_to(command, 0)),
                self.answer_id_offset,
                self.answer_uid_offset,
                size,
            )
