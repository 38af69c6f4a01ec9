"""What a sink is told while a message arrives; whole messages: test_association.py."""

from __future__ import annotations

from typing import Any, cast

from router.protocol.incoming_message import IncomingMessage
from router.protocol.indications import MessageReceived
from router.wire.codec import PduReader

COMMAND = {0x0100: 1}


class Reader:
    """A reader that has always filled four bytes of what is attached."""

    filled = 4

    def __init__(self) -> None:
        self.attached: list[Any] = []

    def attach(self, buffer: Any) -> None:
        self.attached.append(buffer)


class Sink:
    """A sink that lends what the test gives and writes down what it is told."""

    def __init__(self, *buffers: memoryview | None) -> None:
        self.buffers = list(buffers)
        self.told: list[str] = []

    def next_buffer(self) -> memoryview | None:
        return self.buffers.pop(0)

    def filled(self, count: int) -> None:
        self.told.append(f"filled {count}")

    def finish(self) -> object:
        self.told.append("finish")
        return "dataset"

    def discard(self) -> None:
        self.told.append("discard")


def buffer() -> memoryview:
    return memoryview(bytearray(4))


def arriving(sink: Sink) -> tuple[IncomingMessage, Reader]:
    reader = Reader()
    message = IncomingMessage(cast(PduReader, reader))
    message.begin(1, COMMAND, sink)
    return message, reader


def test_each_buffer_is_given_back_before_the_next_is_taken() -> None:
    first, second = buffer(), buffer()
    sink = Sink(first, second)
    message, reader = arriving(sink)
    assert message.next_buffer()
    assert sink.told == ["filled 4"]
    assert message.end() == MessageReceived(1, COMMAND, "dataset")
    assert sink.told == ["filled 4", "filled 4", "finish"]
    assert reader.attached == [first, second, None]
    assert not message.is_under_way


def test_a_buffer_is_given_back_once_also_when_the_next_is_long_in_coming() -> None:
    sink = Sink(buffer(), None, None, buffer())
    message, _ = arriving(sink)
    assert not message.next_buffer()
    assert message.lacks_buffer
    assert not message.attach_next_buffer()
    assert message.attach_next_buffer()
    assert not message.lacks_buffer
    assert sink.told == ["filled 4"]


def test_a_message_begun_elsewhere_has_its_buffer_already() -> None:
    sink = Sink()
    message = IncomingMessage(cast(PduReader, Reader()))
    message.go_on(1, COMMAND, sink)
    assert not message.lacks_buffer
    message.end()
    assert sink.told == ["filled 4", "finish"]


def test_what_is_discarded_is_told_once_and_detached() -> None:
    sink = Sink(buffer())
    message, reader = arriving(sink)
    message.discard()
    message.discard()
    assert sink.told == ["discard"]
    assert reader.attached[-1] is None
    assert not message.is_under_way
