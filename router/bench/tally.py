"""What the sink keeps: counts of what arrived, and the answers it patches instead of encoding them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from router.bench import wire

PDATA_HEAD_BYTES = 12


@dataclass(slots=True)
class Layout:
    """Where a C-STORE-RQ command set of one length changes, and the answer to be patched."""

    before_id: bytes
    id_offset: int
    between: bytes
    uid_offset: int
    uid_end: int
    answer: bytearray
    answer_id_offset: int
    answer_uid_offset: int

    @classmethod
    def of(cls, context_id: int, command: bytes, status: int) -> Layout:
        """Take the layout of a command set, all of whose answers get this status."""
        places = {number: (start, end) for number, start, end in wire.command_elements(command)}
        id_offset = places[wire.MESSAGE_ID][0]
        uid_offset, uid_end = places[wire.AFFECTED_SOP_INSTANCE_UID]
        response = wire.response(wire.decode_command(command), status)
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
        )

    def fits(self, command: bytes) -> bool:
        """Tell whether a command set of the same length differs in Message ID and SOP Instance UID only."""
        return (
            command.startswith(self.before_id)
            and command[self.id_offset + 2 : self.uid_offset] == self.between
        )

    def answer_to(self, command: bytes) -> tuple[bytes, bytes]:
        """Return the SOP Instance UID's value and the PDU that answers the command set."""
        uid = command[self.uid_offset : self.uid_end]
        answer = self.answer
        answer[self.answer_id_offset : self.answer_id_offset + 2] = command[
            self.id_offset : self.id_offset + 2
        ]
        answer[self.answer_uid_offset : self.answer_uid_offset + len(uid)] = uid
        return uid, bytes(answer)


@dataclass(slots=True)
class Tally:
    """What arrived since the last reset; times are CLOCK_MONOTONIC, shared by all processes."""

    uids: list[bytes] = field(default_factory=list)
    dataset_bytes: int = 0
    corrupt: int = 0
    associations: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, uid: bytes, dataset_bytes: int, intact: bool) -> None:
        """Count one whole instance."""
        self.uids.append(uid)
        self.dataset_bytes += dataset_bytes
        if not intact:
            self.corrupt += 1
        self.last_ns = time.monotonic_ns()
        self.first_ns = self.first_ns or self.last_ns

    def report(self, with_uids: bool = False) -> dict[str, object]:
        """Return the counts as values for JSON."""
        distinct = len(set(self.uids))
        report: dict[str, object] = {
            "instances": len(self.uids),
            "distinct": distinct,
            "duplicates": len(self.uids) - distinct,
            "corrupt": self.corrupt,
            "dataset_bytes": self.dataset_bytes,
            "associations": self.associations,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
        }
        if with_uids:
            report["uids"] = [uid.rstrip(b"\0").decode("latin-1") for uid in self.uids]
        return report
