"""Follow the nesting of an encoded dataset, buffer by buffer: twin of _codec/structure.pyx.

PS3.5 section 7.1 (data element structure), 7.5 (sequences), A.4 (encapsulated pixel data).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

STRUCTURE_ELEMENTS_MAX = 1 << 24

_DEPTH_MAX = 64
_DATASET_MAX = 1 << 62
_ITEM = 0xFFFEE000
_ITEM_DELIMITATION = 0xFFFEE00D
_SEQUENCE_DELIMITATION = 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# PS3.5 Table 7.1-2; every other VR, those of the future included, has a 32-bit length.
_SHORT_LENGTH_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(),
)


@dataclass(frozen=True)
class _Level:
    """One open dataset, sequence or item. end: where it ends, or where its delimiter must have come."""

    end: int
    implicit: bool
    big: bool
    is_delimited: bool = False
    is_sequence: bool = False
    is_guessed: bool = False
    fragments: bool = False


class _Missing(Exception):
    """Too few octets for a step."""


class _Fault(Exception):
    """What is wrong."""


class _Excess(_Fault):
    """More nesting, or more elements, than is allowed."""


class StructureScan:
    """Follow one dataset; `feed` takes its buffers in order, those between may be left out.

    dataset_bytes: of the whole dataset. next_offset: the first octet still needed, from the dataset's start.
    fault: what is wrong, "" while nothing is; fault_offset: where, from the dataset's start.
    is_excessive: the fault is nesting deeper than 64 or more than STRUCTURE_ELEMENTS_MAX elements, else a
    length or a tag that cannot be. depth_max: most sequences open at once so far.
    A value that begins as a sequence does, of an element whose VR is not known, is followed as one; if it is
    none after all, it is a value.
    """

    def __init__(self, dataset_bytes: int, implicit_vr: bool, big_endian: bool) -> None:
        if dataset_bytes > _DATASET_MAX:
            raise ValueError("dataset too large", dataset_bytes)
        self.next_offset = 0
        self.fault = ""
        self.fault_offset = 0
        self.is_excessive = False
        self.depth_max = 0
        self._end = dataset_bytes
        self._levels = [_Level(dataset_bytes, bool(implicit_vr), bool(big_endian))]
        self._at = 0
        self._elements = 0
        self._carry = b""

    @property
    def done(self) -> bool:
        """Whether the end was reached or a fault found: no more octets are needed."""
        return bool(self.fault) or self.next_offset == self._end

    def feed(self, data: Buffer, offset: int) -> bool:
        """Take octets of the dataset from this offset on; return whether more are needed.

        Those before next_offset are stepped over. Raises ValueError(reason, offset) for octets that begin
        behind next_offset or leave the dataset.
        """
        octets = bytes(data)
        if offset + len(octets) > self._end:
            raise ValueError("octets leave the dataset", offset)
        if offset > self.next_offset and not self.fault:
            raise ValueError("octets are missing", self.next_offset)
        known = self.next_offset - offset
        if not self.fault and known < len(octets):
            self._follow(self._carry + octets[known:])
        return not self.done

    def _follow(self, octets: bytes) -> None:
        start, end = self._at, self._at + len(octets)
        self._carry = b""
        while self._at < end and not self.fault:
            try:
                self._at += self._step(octets, self._at - start)
            except _Missing:
                self._carry = octets[self._at - start :]
                break
            except _Fault as fault:
                self._fail(fault)
        self._close_at_the_end()
        self.next_offset = self._at + len(self._carry)

    def _close_at_the_end(self) -> None:
        while self._at == self._end and len(self._levels) > 1 and not self.fault:
            self._close_levels()
            if len(self._levels) > 1:
                self._fail(_Fault("cut short"))

    def _close_levels(self) -> None:
        levels = self._levels
        while len(levels) > 1 and not levels[-1].is_delimited and levels[-1].end == self._at:
            levels.pop()

    def _fail(self, fault: _Fault) -> None:
        guessed = [index for index, level in enumerate(self._levels) if level.is_guessed]
        if guessed and not isinstance(fault, _Excess):
            self._at = self._levels[guessed[-1]].end
            del self._levels[guessed[-1] :]
            return
        self.is_excessive = isinstance(fault, _Excess)
        self.fault = str(fault)
        self.fault_offset = self._at

    def _step(self, octets: bytes, at: int) -> int:
        self._close_levels()
        level = self._levels[-1]
        if level.end - self._at < 8:
            raise _Fault("cut short")
        if len(octets) - at < 8:
            raise _Missing
        tag = _tag(octets, at, level)
        if level.is_sequence:
            return self._step_item(level, tag, _number(octets, at + 4, 4, level))
        if tag == _ITEM_DELIMITATION and level.is_delimited:
            self._levels.pop()
            return self._counted(8)
        return self._step_element(level, tag, octets, at)

    def _step_item(self, level: _Level, tag: int, length: int) -> int:
        if tag == _SEQUENCE_DELIMITATION and level.is_delimited:
            self._levels.pop()
            return self._counted(8)
        if tag != _ITEM:
            raise _Fault(f"{_name(tag)} where an item or the end of a sequence is due")
        if length != _UNDEFINED and length > level.end - self._at - 8:
            raise _Fault("item leaves its sequence")
        if level.fragments:
            if length == _UNDEFINED:
                raise _Fault("fragment of undefined length")
            return self._counted(8 + length)
        end = level.end if length == _UNDEFINED else self._at + 8 + length
        self._levels.append(_Level(end, level.implicit, level.big, length == _UNDEFINED))
        return self._counted(8)

    def _step_element(self, level: _Level, tag: int, octets: bytes, at: int) -> int:
        if tag >> 16 == 0xFFFE:
            raise _Fault(f"{_name(tag)} where an element is due")
        head, vr, length = self._read_head(level, tag, octets, at)
        if length == _UNDEFINED:
            self._enter(self._undefined(level, tag, vr))
            return self._counted(head)
        if length > level.end - self._at - head:
            raise _Fault(f"value of {_name(tag)} leaves what it lies in")
        end = self._at + head + length
        if vr == b"SQ":
            self._enter(_Level(end, level.implicit, level.big, is_sequence=True))
            return self._counted(head)
        if vr == b"UN" and length >= 8:
            if len(octets) - at < head + 4:
                raise _Missing
            inner = level if level.implicit else replace(level, implicit=True, big=False)
            if _tag(octets, at + head, inner) == _ITEM:
                self._enter(_Level(end, inner.implicit, inner.big, is_sequence=True, is_guessed=True))
                return self._counted(head)
        return self._counted(head + length)

    def _read_head(self, level: _Level, tag: int, octets: bytes, at: int) -> tuple[int, bytes, int]:
        if level.implicit:
            return 8, b"UN", _number(octets, at + 4, 4, level)
        vr = octets[at + 4 : at + 6]
        if vr in _SHORT_LENGTH_VRS:
            return 8, vr, _number(octets, at + 6, 2, level)
        if not all(65 <= octet <= 90 for octet in vr):
            raise _Fault(f"VR of {_name(tag)} is not two capital letters")
        if level.end - self._at < 12:
            raise _Fault("cut short")
        if len(octets) - at < 12:
            raise _Missing
        return 12, vr, _number(octets, at + 8, 4, level)

    def _undefined(self, level: _Level, tag: int, vr: bytes) -> _Level:
        opened = _Level(level.end, level.implicit, level.big, is_delimited=True, is_sequence=True)
        if level.implicit or vr == b"SQ":
            return opened
        if vr == b"UN":
            return replace(opened, implicit=True, big=False)  # PS3.5 section 6.2.2
        if vr in (b"OB", b"OW"):
            return replace(opened, fragments=True)
        raise _Fault(f"undefined length of {_name(tag)}, which is no sequence")

    def _enter(self, level: _Level) -> None:
        depth = sum(one.is_sequence for one in self._levels)
        if depth == _DEPTH_MAX:
            raise _Excess("sequences nested deeper than 64")
        self.depth_max = max(self.depth_max, depth + 1)
        self._levels.append(level)

    def _counted(self, step: int) -> int:
        self._elements += 1
        if self._elements > STRUCTURE_ELEMENTS_MAX:
            raise _Excess(f"more than {STRUCTURE_ELEMENTS_MAX} elements")
        return step


def _number(octets: bytes, at: int, size: int, level: _Level) -> int:
    return int.from_bytes(octets[at : at + size], "big" if level.big else "little")


def _tag(octets: bytes, at: int, level: _Level) -> int:
    return _number(octets, at, 2, level) << 16 | _number(octets, at + 2, 2, level)


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
