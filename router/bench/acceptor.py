"""One accepting association: its place in the inbound stream, and the answers still to be written.

Plain C-STOREs that look like one seen before are passed by the compiled skimmer; all else comes here.
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from router.bench import wire
from router.bench.hot import Skimmer
from router.bench.instances import Template
from router.bench.layout import Layout
from router.bench.manners import Manners, Records, new_digest
from router.bench.tally import Tally, number_of

PDU_HEAD_BYTES, PDV_HEAD_BYTES, PDATA_HEAD_BYTES = 6, 6, 12
REJECT = (1, 1, 1)  # rejected-permanent, by the service user, no reason given


class AssociationEnded(Exception):
    """The association is over, by the peer's A-ABORT or by the sink's manners."""


@dataclass(slots=True)
class Judgement:
    """What all associations of a sink share.

    templates: what is expected, instance n being of the n-th modulo their number; empty: anything.
    is_verified: whether every octet is compared with them.
    """

    manners: Manners
    templates: list[Template]
    maximum_length: int
    window: int
    records: Records | None = None
    is_verified: bool = False
    tally: Tally = field(default_factory=Tally)
    order: int = 0  # instances so far

    @property
    def is_plain(self) -> bool:
        """Tell whether instances need nothing but a count and an answer."""
        return self.manners.are_plain and self.records is None and not self.is_verified

    def template_of(self, uid: bytes) -> Template | None:
        """Return what an instance with this UID ought to be."""
        number = number_of(uid)
        if number is None or not self.templates:
            return None
        return self.templates[number % 10**10 % len(self.templates)]

    def common_size(self) -> int:
        """Return the size of all that is expected, 0 if it differs."""
        sizes = {len(one.dataset) for one in self.templates}
        return sizes.pop() if len(sizes) == 1 else 0


Later = Callable[["Acceptor", bytes, int], None]
"""(association, answer, now in ns): keeps an answer until it is due."""


class Acceptor:
    """One association. out: what is owed; later: takes the answers that must wait."""

    def __init__(self, sock: socket.socket, judgement: Judgement, later: Later | None = None) -> None:
        self.sock = sock
        self._later = later
        self.judgement = judgement
        self.skimmer = Skimmer()
        self.rest = b""  # octets received that are too few to go on
        self.out = bytearray()
        self.wants_out = False
        self._command = b""  # fragments of a command set so far
        self._layouts: dict[tuple[int, int], Layout] = {}
        self._layout: Layout | None = None
        self._request = b""  # the command whose dataset is coming
        self._uid = b""
        self._is_same = True
        self._digest: hashlib._Hash | None = None
        self._template: Template | None = None

    def consume(self, data: bytearray, end: int, now_ns: int) -> int:
        """Go through the received octets up to `end`; return how many were consumed."""
        skim, out, position = self.skimmer.skim, self.out, 0
        while True:
            position = skim(data, position, end, out, now_ns)
            if position == end:
                return end
            before = position
            position = self._take_one(data, position, end, now_ns)
            if position == before:
                return position

    def _take_one(self, data: bytearray, position: int, end: int, now_ns: int) -> int:
        """Take a piece of payload, a fragment's head, a command fragment or another PDU, if it is all
        here.
        """
        place = self.skimmer
        if place.pdv_left:
            return self._take_payload(data, position, end, now_ns)
        if place.pdu_left:
            if end - position < PDV_HEAD_BYTES:
                return position
            pdv_length, context_id, header = struct.unpack_from(">IBB", data, position)
            pdu_left = place.pdu_left - 4 - pdv_length
            start = position + PDV_HEAD_BYTES
        elif data[position] == wire.P_DATA_TF:
            if end - position < PDATA_HEAD_BYTES:
                return position
            pdu_length, pdv_length, context_id, header = struct.unpack_from(">IIBB", data, position + 2)
            pdu_left = pdu_length - 4 - pdv_length
            start = position + PDATA_HEAD_BYTES
        else:
            return self._take_control(data, position, end)
        payload = pdv_length - 2
        if payload < 0 or pdu_left < 0:
            raise ValueError(f"a PDV of {pdv_length} octets does not fit its PDU")
        if header & wire.COMMAND_FRAGMENT:
            if end - start < payload:
                return position
            self._take_command_fragment(context_id, header, bytes(data[start : start + payload]))
            start += payload
        else:
            place.pdv_left, place.is_last = payload, bool(header & wire.LAST_FRAGMENT)
            if not payload and place.is_last:
                self._complete(now_ns)
        place.pdu_left = pdu_left
        return start

    def _take_payload(self, data: bytearray, position: int, end: int, now_ns: int) -> int:
        """Pass over dataset octets of the current PDV; compare and hash them if asked to."""
        place = self.skimmer
        taken = min(place.pdv_left, end - position)
        part = memoryview(data)[position : position + taken]
        if self.judgement.is_verified and self._is_same and self._template is not None:
            self._is_same = self._template.holds(part, place.dataset_bytes, self._uid)
        if self._digest is not None:
            self._digest.update(part)
        part.release()
        place.dataset_bytes += taken
        place.pdv_left -= taken
        if not place.pdv_left and place.is_last:
            self._complete(now_ns)
        return position + taken

    def _take_command_fragment(self, context_id: int, header: int, payload: bytes) -> None:
        """Take a fragment of a command set; the last one begins a C-STORE or answers a C-ECHO."""
        command = self._command + payload
        if not header & wire.LAST_FRAGMENT:
            self._command = command
            return
        self._command = b""
        key = context_id, len(command)
        layout = self._layouts.get(key)
        if layout is None or not layout.fits(command):
            fields = wire.decode_command(command)
            if wire.uint(fields[wire.COMMAND_FIELD]) == wire.C_ECHO_RQ:
                self.out += wire.command_pdu(context_id, wire.response(fields, 0))
                return
            layout = self._layouts[key] = Layout.of(context_id, command)
        self._begin(layout, context_id, command)

    def _begin(self, layout: Layout, context_id: int, command: bytes) -> None:
        judgement = self.judgement
        self._layout, self._request, self._uid = layout, command, layout.uid_of(command)
        self.skimmer.dataset_bytes = 0
        self.skimmer.is_plain = False
        self._is_same = True
        self._template = judgement.template_of(self._uid)
        self._digest = new_digest() if judgement.records is not None else None
        if judgement.is_plain:
            layout.show(self.skimmer, context_id, command, judgement.common_size())

    def _complete(self, now_ns: int) -> None:
        """Count one instance and owe its answer."""
        if self.skimmer.is_plain:
            self.skimmer.complete(self.out, now_ns)
            return
        judgement, size = self.judgement, self.skimmer.dataset_bytes
        assert self._layout is not None, "a dataset without a command"
        judgement.order += 1
        if judgement.manners.aborts(judgement.order):
            judgement.tally.aborted += 1
            self.out += wire.ABORT_PDU
            raise AssociationEnded("aborted as asked for")
        status = judgement.manners.status_of(judgement.order)
        if judgement.records is not None and self._digest is not None:
            judgement.records.write(self._uid, size, self._digest.hexdigest(), status)
        if status:
            judgement.tally.refused += 1
        else:
            whole = self._template is None or size == len(self._template.dataset)
            judgement.tally.add(self._uid, size, whole and self._is_same, now_ns)
        answer = self._layout.answer_to(self._request, status)
        if self._later is None:
            self.out += answer
        else:
            self._later(self, answer, now_ns)

    def _take_control(self, data: bytearray, position: int, end: int) -> int:
        """Answer one PDU that is not P-DATA-TF; return where it ends, or `position` if not all is here."""
        if end - position < PDU_HEAD_BYTES:
            return position
        (length,) = struct.unpack_from(">I", data, position + 2)
        after: int = position + PDU_HEAD_BYTES + length
        if length > len(data) - PDU_HEAD_BYTES:
            raise ValueError(f"a PDU of type {data[position]} and {length} octets")
        if after > end:
            return position
        pdu_type, judgement = data[position], self.judgement
        if pdu_type == wire.ASSOCIATE_RQ and judgement.manners.rejects:
            self.out += wire.associate_rj(*REJECT)
        elif pdu_type == wire.ASSOCIATE_RQ:
            request = wire.parse_associate(bytes(data[position:after]))
            self.out += wire.associate_ac(request, judgement.maximum_length, judgement.window)
            judgement.tally.associations += 1
        elif pdu_type == wire.RELEASE_RQ:
            self.out += wire.RELEASE_RP_PDU
        elif pdu_type == wire.ABORT:
            raise AssociationEnded("aborted by the peer")
        else:
            raise ValueError(f"unexpected PDU type {pdu_type}")
        return after
