"""The message that is arriving on an association: its dataset goes from the reader into a sink.

Invariant: a sink is told of each buffer it lent once, in order, and ends with either finish() or discard().
"""

from __future__ import annotations

from router.protocol.indications import MessageReceived
from router.protocol.messages import CommandSet, DatasetSink
from router.wire import codec


class IncomingMessage:
    """At most one message whose command set has been let in and whose dataset is not complete."""

    __slots__ = ("_is_attached", "_message", "_reader", "_sink")

    def __init__(self, reader: codec.PduReader) -> None:
        self._reader = reader
        self._sink: DatasetSink | None = None
        self._is_attached = False
        self._message: tuple[int, CommandSet] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is a message."""
        return self._sink is not None

    @property
    def lacks_buffer(self) -> bool:
        """Whether there is a message, and no buffer for what comes next of it."""
        return self._sink is not None and not self._is_attached

    def begin(self, context_id: int, command: CommandSet, sink: DatasetSink) -> None:
        """Take a message; the reader asks again if the sink has no buffer yet."""
        self._message = (context_id, command)
        self._sink = sink
        self._is_attached = False
        self.attach_next_buffer()

    def go_on(self, context_id: int, command: CommandSet, sink: DatasetSink) -> None:
        """Take a message that was begun elsewhere: the sink's buffer is attached and partly filled."""
        self._message = (context_id, command)
        self._sink = sink
        self._is_attached = True

    def next_buffer(self) -> bool:
        """Give the full buffer back and take the next; False: there is none for now."""
        self._give_back()
        return self.attach_next_buffer()

    def attach_next_buffer(self) -> bool:
        """Take the next buffer; False: there is none for now."""
        assert self._sink is not None
        buffer = self._sink.next_buffer()
        if buffer is None:
            return False
        self._reader.attach(buffer)
        self._is_attached = True
        return True

    def end(self) -> MessageReceived:
        """Return the message, now complete."""
        sink = self._sink
        assert sink is not None
        assert self._message is not None
        if self._is_attached:
            self._give_back()
            self._reader.attach(None)
        context_id, command = self._message
        self._sink = None
        self._message = None
        return MessageReceived(context_id, command, sink.finish())

    def discard(self) -> None:
        """Forget the message, if there is one."""
        sink = self._sink
        self._sink = None
        self._message = None
        if sink is not None:
            self._reader.attach(None)
            sink.discard()

    def _give_back(self) -> None:
        assert self._sink is not None
        if self._is_attached:
            self._sink.filled(self._reader.filled)
            self._is_attached = False
