"""What one association has to send: entries in their turn, and what of them is out.

Out is what has left this process: datasets lie in memory that is somebody else's again after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from router.protocol.messages import Buffer
from router.wire import codec

OUTPUT_BYTES = 1 << 20
"""How much one call of take() gathers, about."""

Entry = Sequence[Buffer] | Iterator[Sequence[Buffer]]
"""PDUs, or whatever makes them part by part as they leave."""


class Output:
    """queued: entries ever queued. entries: those that take() has not given whole.

    ends: where in the stream the entries end that were given and are not out; None without a watch.
    """

    __slots__ = ("_bytes_given", "_entries_out", "ends", "entries", "queued")

    def __init__(self) -> None:
        self.queued = 0
        self.entries: deque[Entry] = deque()
        self.ends: deque[int] | None = None
        self._bytes_given = 0
        self._entries_out = 0

    def __len__(self) -> int:
        return len(self.entries)

    def queue(self, entry: Entry) -> None:
        """Send this after everything else."""
        self.entries.append(entry)
        self.queued += 1

    def drop(self) -> None:
        """Forget what was not given."""
        self.entries.clear()

    def take(self, bytes_max: int = OUTPUT_BYTES) -> list[Buffer]:
        """Return the next buffers to send, whole PDUs, about bytes_max; empty when there is nothing."""
        gathered: list[Buffer] = []
        size = 0
        entries, ends = self.entries, self.ends
        while entries and size < bytes_max:
            first = entries[0]
            if isinstance(first, Iterator):
                part = next(first, None)
                is_whole = part is None
            else:
                part = first
                is_whole = True
            if part is not None:
                gathered.extend(part)
                size += sum(map(len, part))
            if is_whole:
                entries.popleft()
                if ends is not None:
                    ends.append(self._bytes_given + size)
        self._bytes_given += size
        return gathered

    # What is out: for drivers that send later than they are given

    def watch(self) -> None:
        """Begin to keep account of what is out; the driver then confirms it. Without: everything is, at
        once."""
        self.ends = deque()
        self._entries_out = self.queued - len(self.entries)

    def confirm(self, bytes_out: int) -> None:
        """Take note that so many of the bytes take() ever gave have left this process."""
        ends = self.ends
        while ends and ends[0] <= bytes_out:
            ends.popleft()
            self._entries_out += 1

    def count(self, count: int) -> None:
        """Take note that so many bytes were given to the connection past take()."""
        self._bytes_given += count

    def is_out(self, entry: int) -> bool:
        """Whether everything has left this process up to this value of queued."""
        return self.ends is None or entry <= self._entries_out


def cut_dataset(context_id: int, chunks: Iterator[Buffer], maximum_length: int) -> Iterator[Sequence[Buffer]]:
    """Cut a dataset into P-DATA-TFs as it leaves; one chunk is looked ahead to know the last fragment.

    maximum_length: what the peer announced; 0: no limit.
    """
    chunk: Buffer = next(chunks, b"")
    for following in chunks:
        yield codec.dataset_pdus(context_id, (chunk,), maximum_length, False)
        chunk = following
    yield codec.dataset_pdus(context_id, (chunk,), maximum_length, True)
