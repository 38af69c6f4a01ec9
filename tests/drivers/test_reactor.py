"""The leader: who watches the connections, and who takes over when it is held up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from queue import Queue
from time import monotonic

import pytest

from router.drivers.handler_threads import HandlerThreads
from router.drivers.reactor import READABLE, Reactor, Timer
from router.protocol.indications import MessageReceived
from router.services.reply import Reply
from tests.support.driver_pair import associate, echo, serving, store

WAIT_S = 30.0


class Pipe:
    """Something to watch; `work` is done, after its bytes were read, whenever it is served."""

    def __init__(self, reactor: Reactor, work: Callable[[], object]) -> None:
        self.timer = Timer(self)
        self.work = work
        self.inlet, self.outlet = os.pipe2(os.O_NONBLOCK)
        reactor.add(self.inlet, self)
        reactor.watch(self.inlet, READABLE)

    def poke(self) -> None:
        os.write(self.outlet, b"x")

    def serve(self) -> None:
        os.read(self.inlet, 1)
        self.work()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What blocks in a test waits for it, so that no thread is left behind."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_a_leader_that_is_held_up_is_replaced(gate: threading.Event) -> None:
    reactor, served = Reactor(), Queue[int]()

    def block() -> None:
        served.put(threading.get_ident())
        gate.wait(WAIT_S)

    held_up = Pipe(reactor, block)
    other = Pipe(reactor, lambda: served.put(threading.get_ident()))
    held_up.poke()
    first = served.get(timeout=WAIT_S)
    other.poke()
    assert served.get(timeout=WAIT_S) != first


def test_who_hands_over_is_replaced_before_it_blocks(gate: threading.Event) -> None:
    reactor, served = Reactor(), Queue[int]()

    def block() -> None:
        reactor.hand_over()
        served.put(threading.get_ident())
        gate.wait(WAIT_S)

    pipes = [Pipe(reactor, block) for _ in range(5)]
    for pipe in pipes:
        pipe.poke()
    assert len({served.get(timeout=WAIT_S) for _ in pipes}) == 5


def test_who_does_not_lead_has_nothing_to_hand_over() -> None:
    reactor, served = Reactor(), Queue[int]()
    pipe = Pipe(reactor, lambda: served.put(threading.get_ident()))
    pipe.poke()
    served.get(timeout=WAIT_S)
    before = reactor.threads.count
    reactor.hand_over()
    assert reactor.threads.count == before


def test_what_a_leader_has_dispatched_is_served_by_its_successor(gate: threading.Event) -> None:
    reactor, served = Reactor(), Queue[str]()
    wanted = Pipe(reactor, lambda: served.put("dispatched"))
    os.write(wanted.outlet, b"xx")
    os.read(wanted.inlet, 2)
    wanted.serve = wanted.work  # type: ignore[method-assign]

    def dispatch_and_block() -> None:
        reactor.dispatch(wanted)
        gate.wait(WAIT_S)

    Pipe(reactor, dispatch_and_block).poke()
    assert served.get(timeout=WAIT_S) == "dispatched"


def test_the_last_thread_serves_the_others_when_it_is_free_again() -> None:
    reactor, served = Reactor(HandlerThreads(threads_max=1)), Queue[str]()
    begun, go_on = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        go_on.wait(WAIT_S)
        served.put("first")

    first, second = Pipe(reactor, block), Pipe(reactor, lambda: served.put("second"))
    first.poke()
    assert begun.wait(WAIT_S)
    second.poke()
    go_on.set()
    assert [served.get(timeout=WAIT_S) for _ in range(2)] == ["first", "second"]


def test_nobody_ticks_when_nothing_is_served() -> None:
    reactor, served = Reactor(), Queue[int]()
    pipe = Pipe(reactor, lambda: served.put(1))
    for _ in range(3):
        pipe.poke()
        assert served.get(timeout=WAIT_S) == 1
        deadline = monotonic() + WAIT_S
        while reactor._is_ticking and monotonic() < deadline:
            threading.Event().wait(0.01)
        assert not reactor._is_ticking


def test_a_timer_fires_though_the_leader_was_held_up(gate: threading.Event) -> None:
    reactor, fired = Reactor(), threading.Event()
    timed = Pipe(reactor, lambda: None)
    timed.serve = fired.set  # type: ignore[method-assign]
    blocked = Pipe(reactor, lambda: gate.wait(WAIT_S))
    blocked.poke()
    reactor.schedule(timed.timer, monotonic() + 0.02)
    assert fired.wait(WAIT_S)


def test_handlers_that_block_run_side_by_side() -> None:
    together = threading.Barrier(6)

    def meet(message: MessageReceived) -> Reply:
        together.wait(WAIT_S)
        return Reply(0)

    statuses: Queue[int] = Queue()
    with serving() as server:
        server.on_store = meet
        connections = [associate(server.port, server.reactor) for _ in range(6)]
        for connection in connections:
            threading.Thread(
                target=lambda one: statuses.put(store(one, b"12", dimse_s=WAIT_S)), args=(connection,)
            ).start()
        assert [statuses.get(timeout=WAIT_S) for _ in connections] == [0] * 6
        for connection in connections:
            connection.abort()


def test_who_was_held_up_once_expects_it_of_the_next_association_too(gate: threading.Event) -> None:
    begun: Queue[int] = Queue()

    def block(message: MessageReceived) -> Reply:
        begun.put(threading.get_ident())
        gate.wait(0.01)
        return Reply(0)

    with serving() as server:
        server.on_store = block
        for _ in range(2):
            connection = associate(server.port, server.reactor)
            assert store(connection, b"12", dimse_s=WAIT_S) == 0
            connection.abort()
            assert begun.get(timeout=WAIT_S)
            assert server.reactor.caution
        server.on_store = lambda message: Reply(0)
        connection = associate(server.port, server.reactor)
        server.wait_for(lambda: len(server.connections) == 3)
        assert server.connections[2]._caution
        deadline = monotonic() + WAIT_S
        while server.reactor.caution and monotonic() < deadline:
            assert store(connection, b"12", dimse_s=WAIT_S) == 0
        assert not server.reactor.caution
        connection.abort()


def test_a_handler_may_use_an_association_with_its_own_process() -> None:
    with serving() as server:

        def ask_ourselves(message: MessageReceived) -> Reply:
            inner = associate(server.port, server.reactor)
            status = sum(echo(inner, number) for number in range(1, 4))
            inner.abort()
            return Reply(status)

        server.on_store = ask_ourselves
        connection = associate(server.port, server.reactor)
        assert [store(connection, b"12", number, WAIT_S) for number in (1, 2, 3)] == [0, 0, 0]
        connection.abort()


def test_what_arrives_while_another_thread_owns_the_connection_is_served_after_that() -> None:
    with serving() as server:
        busy, other = (associate(server.port, server.reactor) for _ in range(2))
        server.wait_for(lambda: len(server.connections) == 2)
        owned = next(c for c in server.connections if c.sock.getpeername() == busy.sock.getsockname())
        statuses: Queue[int] = Queue()
        owned._lock.acquire()
        owned._enter()
        try:
            threading.Thread(target=lambda: statuses.put(echo(busy, dimse_s=WAIT_S))).start()
            deadline = monotonic() + WAIT_S
            while not owned._stood_back and monotonic() < deadline:
                assert echo(other) == 0
            assert owned._stood_back
            assert statuses.empty()
        finally:
            owned.release()
        assert statuses.get(timeout=WAIT_S) == 0
        for connection in (busy, other):
            connection.abort()
