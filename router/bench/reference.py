"""The pure-Python twin of `_codec.load`: same names, same results; what runs where nothing is compiled."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

NUMBER_DIGITS = 10
UID_BYTES = 24
HISTOGRAM_CELLS = 2432
ANSWERED_CELL = 2432
CELLS = 2433
ANSWERS_MAX = 8
WINDOW_MAX = 65535
NUMBERS_MAX = 1 << 27

SUB_BITS = 6
OWN_PREFIX_BYTES = 6
PDATA_TF = 4
PDU_HEAD_BYTES = 6
PDATA_HEAD_BYTES = 12


def histogram_cell(value: int) -> int:
    """Return the cell of a latency in ns: 64 steps an octave."""
    shift = max(0, value.bit_length() - SUB_BITS - 1)
    return min((shift << SUB_BITS) + (value >> shift), HISTOGRAM_CELLS - 1)


class Image:
    """The octets of one instance that change, and where."""

    def __init__(self, head: bytearray, id_at: int, command_number_at: int, dataset_number_at: int) -> None:
        if min(id_at, command_number_at, dataset_number_at) < 0 or id_at + 2 > len(head):
            raise ValueError("an offset leaves the head")
        if max(command_number_at, dataset_number_at) + NUMBER_DIGITS > len(head):
            raise ValueError("an offset leaves the head")
        self.head = head
        self._id_at = id_at
        self._numbers_at = command_number_at, dataset_number_at

    def patch(self, number: int, message_id: int) -> None:
        """Make the head that of another instance."""
        self.head[self._id_at : self._id_at + 2] = message_id.to_bytes(2, "little")
        digits = b"%010d" % number
        for place in self._numbers_at:
            self.head[place : place + NUMBER_DIGITS] = digits


@dataclass(frozen=True, slots=True)
class _AnswerShape:
    octets: bytes
    id_at: int
    number_at: int

    def fits(self, pdu: bytes, number: int) -> bool:
        """Tell whether these octets are the answer of this shape about this instance."""
        if len(pdu) != len(self.octets):
            return False
        expected = bytearray(self.octets)
        expected[self.id_at : self.id_at + 2] = pdu[self.id_at : self.id_at + 2]
        if self.number_at >= 0:
            expected[self.number_at : self.number_at + NUMBER_DIGITS] = b"%010d" % number
        return pdu == expected


class Lane:
    """Operations under way on one association, by Message ID 1..window."""

    def __init__(self, window: int, counts: array[int]) -> None:
        if not 0 < window <= WINDOW_MAX:
            raise ValueError(f"window {window}, allowed 1..{WINDOW_MAX}")
        if len(counts) < CELLS:
            raise ValueError(f"{len(counts)} counts, {CELLS} are needed")
        self.window = window
        self._counts = counts
        self._free_ids = list(range(window, 0, -1))
        self._under_way: dict[int, tuple[int, int]] = {}
        self._numbers: dict[int, int] = {}
        self._shapes: list[_AnswerShape] = []

    @property
    def free(self) -> int:
        """How many operations may still begin."""
        return len(self._free_ids)

    def begin(self, number: int, sent_ns: int) -> int:
        """Take a free Message ID for an instance; the caller has looked at `free`."""
        if not self._free_ids:
            raise ValueError("no message id is free")
        message_id = self._free_ids.pop()
        self._under_way[message_id] = number, sent_ns
        return message_id

    def end(self, message_id: int, now_ns: int) -> int:
        """Count the answer to an operation; return its instance's number."""
        if message_id not in self._under_way:
            raise ValueError(f"answer to message id {message_id}, which is not under way")
        number, sent_ns = self._under_way.pop(message_id)
        self._free_ids.append(message_id)
        self._counts[histogram_cell(max(0, now_ns - sent_ns))] += 1
        self._counts[ANSWERED_CELL] += 1
        return number

    def learn(self, pdu: bytes, id_at: int, number_at: int) -> None:
        """Remember what a success answer looks like: from now on `take` takes such ones."""
        if len(self._shapes) == ANSWERS_MAX:
            return
        size = len(pdu)
        if not PDU_HEAD_BYTES <= id_at <= size - 2 or number_at > size - NUMBER_DIGITS:
            raise ValueError("an offset leaves the answer")
        if -1 < number_at < id_at + 2:
            raise ValueError("an offset leaves the answer")
        if int.from_bytes(pdu[2:6], "big") + PDU_HEAD_BYTES != size:
            raise ValueError("not one whole PDU")
        self._shapes.append(_AnswerShape(pdu, id_at, number_at))

    def take(self, data: bytearray, position: int, end: int, now_ns: int) -> int:
        """Count whole success answers from position on; return where the first begins that is not known."""
        if position < 0 or end > len(data):
            raise ValueError("the answers leave the buffer")
        while position < end:
            for shape in self._shapes:
                pdu = bytes(data[position : min(end, position + len(shape.octets))])
                message_id = int.from_bytes(pdu[shape.id_at : shape.id_at + 2], "little")
                number, _ = self._under_way.get(message_id, (-1, 0))
                if number >= 0 and shape.fits(pdu, number):
                    self.end(message_id, now_ns)
                    position += len(pdu)
                    break
            else:
                break
        return position


@dataclass(slots=True)
class _Known:
    """What a skimmer was shown."""

    request: bytes
    id_at: int
    uid_at: int
    answer: bytearray
    answer_id_at: int
    answer_uid_at: int
    size: int

    def fits(self, pdu: bytes) -> bool:
        """Tell whether a whole command differs in Message ID and in the digits of its UID only."""
        digits_at, uid_end = self.uid_at + OWN_PREFIX_BYTES, self.uid_at + UID_BYTES
        digits = pdu[digits_at:uid_end]
        if len(pdu) != len(self.request):
            return False
        expected = bytearray(self.request)
        expected[self.id_at : self.id_at + 2] = pdu[self.id_at : self.id_at + 2]
        expected[digits_at:uid_end] = digits
        return pdu == expected and all(48 <= digit <= 57 for digit in digits)


class Skimmer:
    """The place inside the inbound stream of one association, and the plain C-STOREs that went through."""

    def __init__(self) -> None:
        self.pdu_left = 0
        self.pdv_left = 0
        self.is_last = False
        self.dataset_bytes = 0
        self.is_plain = False
        self.instances = 0
        self.octets = 0
        self.odd_sizes = 0
        self.last_ns = 0
        self._known: _Known | None = None
        self._current: _Known | None = None  # whose answer is owed
        self._number = 0
        self._numbers = array("Q")

    def learn(
        self,
        request: bytes,
        id_at: int,
        uid_at: int,
        answer: bytearray,
        answer_id_at: int,
        answer_uid_at: int,
        size: int,
    ) -> None:
        """Take such commands from now on, and no other."""
        if not PDATA_HEAD_BYTES <= id_at <= uid_at - 2 or uid_at + UID_BYTES > len(request):
            raise ValueError("an offset leaves the request")
        if int.from_bytes(request[2:6], "big") + PDU_HEAD_BYTES != len(request):
            raise ValueError("not one whole PDU")
        if not 0 <= answer_id_at <= len(answer) - 2 or not 0 <= answer_uid_at <= len(answer) - UID_BYTES:
            raise ValueError("an offset leaves the answer")
        self._known = _Known(request, id_at, uid_at, answer, answer_id_at, answer_uid_at, size)

    def forget(self) -> None:
        """Take no command any more."""
        self._known = None

    def skim(self, data: bytearray, position: int, end: int, out: bytearray, now_ns: int) -> int:
        """Pass over what is known, append the answers to out; return where the first thing begins that is
        not.
        """
        if position < 0 or end > len(data):
            raise ValueError("the octets leave the buffer")
        while position < end:
            if self.pdv_left:
                if not self.is_plain:
                    break
                taken = min(self.pdv_left, end - position)
                self.pdv_left -= taken
                self.dataset_bytes += taken
                position += taken
                if not self.pdv_left and self.is_last:
                    self.complete(out, now_ns)
            elif self.pdu_left or data[position] != PDATA_TF or end - position < PDATA_HEAD_BYTES:
                break
            else:
                head = bytes(data[position : position + PDATA_HEAD_BYTES])
                passed = self._command(data, position, end) if head[11] & 1 else self._fragment(head)
                if not passed:
                    break
                position += passed
        return position

    def _fragment(self, head: bytes) -> int:
        pdv_bytes = int.from_bytes(head[6:10], "big")
        if not self.is_plain or pdv_bytes < 3 or pdv_bytes + 4 != int.from_bytes(head[2:6], "big"):
            return 0
        self.pdv_left = pdv_bytes - 2
        self.is_last = bool(head[11] & 2)
        return PDATA_HEAD_BYTES

    def _command(self, data: bytearray, position: int, end: int) -> int:
        known = self._known
        if known is None:
            return 0
        pdu = bytes(data[position : min(end, position + len(known.request))])
        if not known.fits(pdu):
            return 0
        uid = pdu[known.uid_at : known.uid_at + UID_BYTES]
        known.answer[known.answer_id_at : known.answer_id_at + 2] = pdu[known.id_at : known.id_at + 2]
        known.answer[known.answer_uid_at : known.answer_uid_at + UID_BYTES] = uid
        self._current = known
        self._number = int(uid[OWN_PREFIX_BYTES:])
        self.dataset_bytes = 0
        self.is_plain = True
        return len(pdu)

    def complete(self, out: bytearray, now_ns: int) -> None:
        """Count the current dataset and append its answer, where the caller has seen its end."""
        known = self._current
        if not self.is_plain or known is None:
            raise ValueError("no dataset of a known command is under way")
        out += known.answer
        self.is_plain = False
        self.instances += 1
        self.octets += self.dataset_bytes
        if known.size and known.size != self.dataset_bytes:
            self.odd_sizes += 1
        self.last_ns = now_ns
        self._numbers.append(self._number)

    def take_numbers(self) -> bytes:
        """Return the 18 digits of each UID completed since the last time, as native u64; begin anew."""
        taken = self._numbers.tobytes()
        self._numbers = array("Q")
        self.instances = self.octets = self.odd_sizes = 0
        return taken
