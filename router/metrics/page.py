"""MetricsPage: one role index's numbers in shared memory; written by one process, read by admin.

A cell is an aligned u64 written in one store, so a reader sees the old or the new number and never a torn
one. The page outlives its writer: counters and histograms go on where the last process stopped, gauges
begin at 0.

Look slots up once, at the start or at a reload, and count through `cells` on the hot path:

    received = page.slot("instances_received", listener="main", status_class="success")
    page.cells[received] += 1
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from contextlib import suppress

from router.metrics.catalogue import (
    BY_NAME,
    CELLS_TOTAL,
    FIXED_LABELS,
    LAYOUT_CHECK,
    METRICS,
    NAMED_LABELS,
    OFFSETS,
    OTHER,
    ROLES,
    Kind,
    Metric,
    cells_of,
    values_of,
)
from router.wire.codec import Histogram, Tally

NAME_BYTES_MAX = 63  # of a destination's or listener's name; longer ones are cut

_MAGIC = b"DRPAGE\0\0"
# 1-8 magic; 9-16 layout check; 17-24 pid; 25-32 start time of that pid in clock ticks; 33-40 index; 41-56
# role
_HEAD = struct.Struct("<8sQQQQ16s")
_ENTRY_BYTES = NAME_BYTES_MAX + 1  # 1 length, 0: free; 2-64 name, UTF-8
_TABLES_OFFSET = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def _lay_out_tables() -> tuple[dict[str, int], int]:
    offsets, end = {}, _TABLES_OFFSET
    for label, names_max in NAMED_LABELS.items():
        offsets[label] = end
        end += names_max * _ENTRY_BYTES
    return offsets, end


_TABLES, _CELLS_OFFSET = _lay_out_tables()
PAGE_BYTES = _CELLS_OFFSET + 8 * CELLS_TOTAL


class MetricsPage:
    """A page mapped into this process. Make it with `create` or `attach`; a writer calls `begin` once."""

    __slots__ = ("_histograms", "_map", "_tally", "_whole", "cells", "fd")

    def __init__(self, fd: int) -> None:
        if os.fstat(fd).st_size != PAGE_BYTES:
            raise ValueError(f"descriptor {fd} is not a metrics page of {PAGE_BYTES} bytes")
        self.fd = fd
        self._map = mmap.mmap(fd, PAGE_BYTES)
        self._whole = memoryview(self._map)
        magic, layout, *_ = _HEAD.unpack_from(self._whole, 0)
        if magic != _MAGIC or layout != LAYOUT_CHECK:
            raise ValueError(f"descriptor {fd} is not a metrics page of this version")
        self.cells: memoryview[int] = self._whole[_CELLS_OFFSET:].cast("Q")
        self._tally = Tally(self.cells)
        self._histograms: dict[int, Histogram] = {}

    @classmethod
    def create(cls) -> MetricsPage:
        """Make an empty page, all zero; it belongs to nobody until somebody begins."""
        fd = os.memfd_create("dicom-router-metrics", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, PAGE_BYTES)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        os.pwrite(fd, _HEAD.pack(_MAGIC, LAYOUT_CHECK, 0, 0, 0, b""), 0)
        return cls(fd)

    @classmethod
    def attach(cls, fd: int) -> MetricsPage:
        """Open an inherited page, for reading or to `begin`. Raises ValueError if it is none of this
        version."""
        return cls(fd)

    def begin(self, role: str, index: int) -> None:
        """Become the page's writer: say who counts here, and set the gauges a predecessor left to 0."""
        if role not in ROLES:
            raise ValueError(f"role {role!r}, allowed {', '.join(ROLES)}")
        for metric in METRICS:
            if metric.kind is Kind.GAUGE:
                offset = OFFSETS[metric.name]
                for cell in range(offset, offset + _combinations(metric)):
                    self.cells[cell] = 0
        pid = os.getpid()
        _HEAD.pack_into(
            self._whole, 0, _MAGIC, LAYOUT_CHECK, pid, start_ticks(pid) or 0, index, role.encode()
        )

    def slot(self, metric: Metric | str, **labels: str) -> int:
        """Return the cell of one label combination (of a histogram, for `observe`). For starts and reloads.

        A name new to the page takes the next free entry of its label's table; when the table is full it
        shares the entry "other". Raises ValueError for an unknown metric, a missing or extra label, or a
        value outside a fixed set.
        """
        if isinstance(metric, str):
            if metric not in BY_NAME:
                raise ValueError(f"metric {metric!r} is not in the catalogue")
            metric = BY_NAME[metric]
        if set(labels) != set(metric.labels):
            raise ValueError(f"metric {metric.name} has the labels {metric.labels}, got {tuple(labels)}")
        position = 0
        for label in metric.labels:
            position = position * values_of(label) + self._value_index(label, labels[label])
        slot = OFFSETS[metric.name] + position * cells_of(metric)
        if metric.kind is Kind.HISTOGRAM:
            bounds = [round(bound * metric.scale) for bound in metric.buckets]
            self._histograms[slot] = Histogram(self._tally, slot, bounds, metric.scale)
        return slot

    def tally(self) -> Tally:
        """Return the cells for compiled code that counts."""
        return self._tally

    def histogram(self, slot: int) -> Histogram:
        """Return a histogram, by what slot() returned, for compiled code that counts."""
        return self._histograms[slot]

    def add(self, slot: int, amount: int = 1) -> None:
        """Count; `amount` in the metric's scaled unit."""
        self.cells[slot] += amount

    def set(self, slot: int, value: int) -> None:
        """Set a gauge, in its scaled unit (seconds: microseconds); not below 0."""
        self.cells[slot] = value if value > 0 else 0

    def observe(self, slot: int, value: float) -> None:
        """Count a value (seconds, or what the histogram counts) into a histogram; below 0 counts as 0."""
        self._histograms[slot].observe(value)

    @property
    def role(self) -> str:
        """The writer's role, "" if nobody has begun."""
        return bytes(_HEAD.unpack_from(self._whole, 0)[5]).rstrip(b"\0").decode()

    @property
    def index(self) -> int:
        return int(_HEAD.unpack_from(self._whole, 0)[4])

    @property
    def writer(self) -> tuple[int, int]:
        """The writer's pid and start time in clock ticks: together they name one process for ever."""
        _, _, pid, ticks, _, _ = _HEAD.unpack_from(self._whole, 0)
        return pid, ticks

    def names(self, label: str) -> list[str]:
        """Return the names a page knows for a label, by index; "other" first."""
        if label in FIXED_LABELS:
            return list(FIXED_LABELS[label])
        names = [OTHER]
        while len(names) < NAMED_LABELS[label]:
            at = _TABLES[label] + len(names) * _ENTRY_BYTES
            length = self._whole[at]
            if not length:
                break
            names.append(bytes(self._whole[at + 1 : at + 1 + length]).decode("utf-8", "replace"))
        return names

    def close(self) -> None:
        """Unmap and close the descriptor."""
        self._tally.release()
        self.cells.release()
        self._whole.release()
        self._map.close()
        os.close(self.fd)

    def _value_index(self, label: str, value: str) -> int:
        names = self.names(label)
        if label in FIXED_LABELS:
            if value not in names:
                raise ValueError(f"label {label} is {value!r}, allowed {', '.join(names)}")
            return names.index(value)
        encoded = _cut(value)
        with suppress(ValueError):
            return names.index(encoded.decode())
        if len(names) >= NAMED_LABELS[label] or not encoded:
            return 0
        at = _TABLES[label] + len(names) * _ENTRY_BYTES
        self._whole[at + 1 : at + 1 + len(encoded)] = encoded
        self._whole[at] = len(encoded)  # last: from here on readers see the name
        return len(names)


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields of /proc/<pid>/stat from the third (state) on; None if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the name in brackets, and may hold spaces and brackets.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields


def _combinations(metric: Metric) -> int:
    count = 1
    for label in metric.labels:
        count *= values_of(label)
    return count


def _cut(name: str) -> bytes:
    return name.encode()[:NAME_BYTES_MAX].decode("utf-8", "ignore").encode()
