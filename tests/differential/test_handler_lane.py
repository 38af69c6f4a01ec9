"""The library's lane and the general way: same octets in, same requests at the handler, same octets out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.api import events as evt
from router.api.dimse_primitives import dataset_bytes
from router.api.direct_stores import DirectStores
from router.api.received_datasets import MemorySink
from router.protocol.association import Association, Limits
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.conversation import Conversation
from router.services.reply import PLAIN_SUCCESS, RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.standard.dimse_fields import C_ECHO_RQ, C_STORE_RQ
from router.wire.codec import CODEC_NAME
from router.wire.pdus import encode_pdu
from tests.differential.test_store_lane import ends, octets, splits
from tests.support.octet_feed import OctetFeed
from tests.support.raw_peer import RELEASE_RQ, STORE_CONTEXT, associate_rq
from tests.support.store_receiver import accept_storage, usual

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")


class Receiver(OctetFeed):
    """One association of an SCP's, without sockets, wired as router/api does; the handler's calls wait.

    out: octets sent. asked: what the handler was asked, in order.
    """

    def __init__(self, use_lane: bool, window: int) -> None:
        super().__init__()
        self._receive_to = None
        self._is_logging = False
        self._handlers = evt.Handlers()
        self.calls: deque[tuple[Deferred, Any, tuple[Any, ...]]] = deque()
        self.reply: Any = PLAIN_SUCCESS
        self.asked: list[tuple[Any, ...]] = []
        self.association = Association(Role.ACCEPTOR, Limits(pdu_max_bytes=65536), lambda *_: MemorySink())
        self.direct: DirectStores | None = None
        self.use_lane = use_lane
        services = {
            **RESPONDERS_OF_REFUSAL,
            C_ECHO_RQ: partial(c_echo.respond, on_echo=lambda _: Reply(0)),
            C_STORE_RQ: self.respond,
        }
        self.conversation = Conversation(self.association, services)
        self.window = window
        self.conversation.start(self.serve())
        self.association.transport_opened()
        self.feed(encode_pdu(associate_rq(window)), 1 << 20)

    def serve(self) -> Any:
        assert (yield from establish.respond(self.association, lambda rq: accept_storage(rq, self.window)))
        yield from release.respond(self.association)

    def respond(self, association: Association, message: Any) -> Any:
        if self.use_lane and self.direct is None:
            self.direct = DirectStores(self, association, self.store)  # type: ignore[arg-type]
        if self.direct is not None:
            self.direct.serve(message.context_id)
        return c_store.respond(association, message, lambda request: self._invoke(self.store, request))

    def _invoke(self, function: Any, *args: Any) -> Deferred:
        deferred = Deferred()
        self.calls.append((deferred, function, args))
        return deferred

    def store(self, request: Any) -> Any:
        self.asked.append((request.context_id, dict(request.command), dataset_bytes(request.dataset)))
        return self.reply

    def work(self, status: int = 0, count: int = 100) -> None:
        """Let so many handlers return this status."""
        self.reply = Reply(status, "why") if status else PLAIN_SUCCESS
        for _ in range(min(count, len(self.calls))):
            deferred, function, args = self.calls.popleft()
            deferred.settle(function(*args))
            self.advance()

    def close(self) -> None:
        """The connection is gone."""
        self.inbound = b""
        self.association.transport_closed()
        self.conversation.pump()

    def result(self) -> dict[str, Any]:
        """What both ways must come to."""
        return {
            "out": self.out,
            "asked": self.asked,
            "state": self.association.state,
            "violation": str(self.association.violation),
            "busy": self.conversation.is_busy,
        }


@dataclass
class Play:
    """One script for both ways."""

    window: int = 1
    steps: list[tuple[Any, ...]] = field(default_factory=list)

    def run(self, use_lane: bool) -> tuple[dict[str, Any], int]:
        receiver = Receiver(use_lane, self.window)
        for name, *arguments in self.steps:
            getattr(receiver, name)(*arguments)
        while receiver.calls:
            receiver.work()
        taken = 0 if receiver.direct is None else receiver.direct._lane.instances
        return receiver.result(), taken

    def check(self) -> int:
        """Run both ways; return how many instances the lane took."""
        general, _ = self.run(False)
        lane, taken = self.run(True)
        assert lane == general
        return taken


feeds = st.tuples(st.just("feed"), octets, splits)
works = st.tuples(st.just("work"), st.sampled_from((0, 0, 0, 0xA700, 0xC000, 0xB000)), st.integers(1, 3))
plays = st.builds(
    lambda window, steps, end: Play(window, [("feed", usual(7, "1.9"), 1 << 20), *steps, *end]),
    st.integers(1, 5),
    st.lists(feeds | feeds | works, min_size=1, max_size=6),
    ends,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(plays)
def test_whatever_comes_both_ways_come_to_the_same(play: Play) -> None:
    play.check()


def test_after_the_first_the_usual_requests_come_by_the_lane() -> None:
    steps: list[tuple[Any, ...]] = []
    for number in range(1, 11):
        steps += [("feed", usual(number, f"1.2.{number}", 3000 * number), 1 << 20), ("work",)]
    assert Play(1, steps).check() == 9


@pytest.mark.parametrize(
    "size", [0, 1, 16383, 16384, 16385, 300_000, 278_528, 278_529, 1_400_000, 70_000_000]
)
def test_datasets_of_any_size_arrive_whole(size: int) -> None:
    steps: list[tuple[Any, ...]] = [("feed", usual(1), 1 << 20), ("work",)]
    for number in (2, 3):
        steps += [("feed", usual(number, size=size, fragment=60_000), 1 << 20), ("work",)]
    assert Play(1, steps).check() == (0 if size == 70_000_000 else 2)


@pytest.mark.parametrize("size", [0, 100, 200_000, 1_400_000])
def test_a_dataset_stands_behind_a_head_before_and_after_it_was_looked_at(size: int) -> None:
    receiver = Receiver(True, 1)
    receiver.feed(usual(1), 1 << 20)
    receiver.work()
    datasets: list[Any] = []
    receiver.direct._store = lambda request: datasets.append(request.dataset) or PLAIN_SUCCESS  # type: ignore[union-attr,func-returns-value]
    receiver.feed(usual(2, size=size), 1 << 20)
    receiver.work()
    whole = bytes([2]) * size
    assert len(datasets[0]) == size
    assert datasets[0].behind(b"head") == b"head" + whole
    assert datasets[0].getvalue() == whole
    assert datasets[0].behind(b"") == whole


def test_a_dataset_nobody_looks_at_lends_its_memory_to_the_next() -> None:
    receiver = Receiver(True, 1)
    receiver.feed(usual(1), 1 << 20)
    receiver.work()
    seen: list[bytes] = []
    receiver.store = lambda request: seen.append(request.dataset.getvalue()) or PLAIN_SUCCESS  # type: ignore[method-assign,assignment,func-returns-value]
    receiver.direct._store = lambda request: PLAIN_SUCCESS  # type: ignore[union-attr]
    for number in range(2, 6):
        receiver.feed(usual(number, size=200_000), 1 << 20)
        receiver.work()
    receiver.direct._store = receiver.store  # type: ignore[union-attr]
    for number in range(6, 10):
        receiver.feed(usual(number, size=200_000 + number), 1 << 20)
        receiver.work()
    assert seen == [bytes([number]) * (200_000 + number) for number in range(6, 10)]


def test_a_release_while_a_handler_runs_is_answered_and_nothing_after_it() -> None:
    steps = [("feed", usual(1), 1 << 20), ("work",), ("feed", usual(2) + RELEASE_RQ, 1 << 20), ("work",)]
    assert Play(1, steps).check() == 1


def test_a_status_that_cannot_be_sent_is_logged_and_the_next_request_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = Receiver(True, 1)
    receiver.feed(usual(1), 1 << 20)
    receiver.work()
    receiver.feed(usual(2), 1 << 20)
    receiver.reply = Reply(0, elements={0x0902: "\u20ac"})
    deferred, function, args = receiver.calls.popleft()
    deferred.settle(function(*args))
    assert "cannot be sent" in caplog.text
    receiver.feed(usual(3), 1 << 20)
    receiver.work()
    assert [request[1][0x0110] for request in receiver.asked] == [1, 2, 3]


@pytest.mark.parametrize("change", ["file", "received", "sent", "logging"])
def test_what_somebody_wants_to_see_goes_the_general_way(change: str) -> None:
    receiver = Receiver(True, 1)
    receiver.feed(usual(1), 1 << 20)
    receiver.work()
    if change == "file":
        receiver._receive_to = "/nowhere"  # type: ignore[assignment]
    elif change == "logging":
        receiver._is_logging = True
    else:
        event = evt.EVT_DIMSE_RECV if change == "received" else evt.EVT_DIMSE_SENT
        receiver._handlers.bind(event, print)
    logger = pytest.MonkeyPatch()
    with logger.context() as patch:
        patch.setattr("router.api.direct_stores.MESSAGE_LOGGER.disabled", False)
        patch.setattr("router.api.direct_stores.MESSAGE_LOGGER.isEnabledFor", lambda _: change == "logging")
        receiver.feed(usual(2), 1 << 20)
        receiver.work()
    assert receiver.direct is not None
    assert receiver.direct._lane.instances == 0
    assert len(receiver.asked) == 2
    assert STORE_CONTEXT in receiver.direct._served
