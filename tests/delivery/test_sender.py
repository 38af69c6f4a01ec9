"""One instance over one association: its payload is opened once and closed once, whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from router.delivery.pool import PooledAssociation
from router.delivery.retry import ErrorClass, Failure
from router.delivery.sender import SLOW_ANSWER_S, Item, send
from router.drivers.connection import Connection
from router.drivers.event_loop import EventLoopDriver
from router.drivers.patience import Deadlines
from router.protocol.association import Association, Limits
from router.protocol.upper_layer import Role
from router.services import establish, release
from router.services.reply import RESPONDERS_OF_REFUSAL
from router.spool.faults import RecordDamaged
from router.standard.uids import CT_IMAGE_STORAGE
from tests.support.owed import Bytes, item
from tests.support.raw_peer import STORE_CONTEXT, associate_rq
from tests.support.scripted_scp import Peer, ScriptedAcceptor, honest, run, scripted_acceptor, until

Outcome = tuple[int, Failure | None, float]


async def borrow(acceptor: ScriptedAcceptor) -> PooledAssociation:
    """Open an association as the pool would."""
    driver = EventLoopDriver(asyncio.get_running_loop())
    association = Association(Role.REQUESTOR, Limits())
    connection = Connection(driver, association, RESPONDERS_OF_REFUSAL, Deadlines())
    await driver.open(
        connection, establish.request(association, associate_rq(), 5), "127.0.0.1", acceptor.port, 5
    )
    connection.start(release.respond(association))
    return PooledAssociation(connection, {(CT_IMAGE_STORAGE, "1.2.840.10008.1.2"): STORE_CONTEXT}, 1)


async def send_one(pooled: PooledAssociation, one: Item, dimse_s: float = 10.0) -> Outcome:
    """Send and wait for the outcome, which must come once."""
    outcomes: list[Outcome] = []

    def on_sent(
        sent: Item, by: PooledAssociation, status: int, failure: Failure | None, seconds: float
    ) -> None:
        assert sent is one
        assert by is pooled
        outcomes.append((status, failure, seconds))

    send(pooled, one, dimse_s, on_sent)
    await until(lambda: outcomes)
    await asyncio.sleep(0)
    assert len(outcomes) == 1
    return outcomes[0]


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xA700, 0xC000])
def test_a_response_is_judged_and_the_payload_closed(is_streamed: bool, status: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: status)

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            pooled = await borrow(acceptor)
            payload = Bytes(b"ab" * 40_000, b"cd", is_streamed=is_streamed)
            got, failure, seconds = await send_one(pooled, item(1, payload=payload))
            assert got == status
            assert (failure is None) == (status in (0x0000, 0xB000))
            assert seconds >= 0
            assert (payload.opened, payload.readers) == (1, 0)
            assert acceptor.messages[0].dataset == b"ab" * 40_000 + b"cd"
            pooled.connection.abort()

    run(test())


def test_a_payload_that_cannot_be_opened_does_not_touch_the_association() -> None:
    async def test() -> None:
        async with scripted_acceptor(honest) as acceptor:
            pooled = await borrow(acceptor)
            bad = Bytes(b"ab", trouble=RecordDamaged("gone"))
            _, failure, _ = await send_one(pooled, item(1, payload=bad))
            assert failure is not None
            assert failure.error_class is ErrorClass.SPOOL
            assert bad.readers == 0
            assert (await send_one(pooled, item(2)))[1] is None
            pooled.connection.abort()

    run(test())


@pytest.mark.parametrize("how", ["close", "deadline"])
def test_the_payload_is_closed_when_no_response_comes(how: str) -> None:
    hold = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.read_message()
        if how == "deadline":
            await hold.wait()

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            pooled = await borrow(acceptor)
            pooled.connection._driver.start()
            payload = Bytes(b"ab")
            _, failure, _ = await send_one(pooled, item(1, payload=payload), dimse_s=0.1)
            assert failure is not None
            expected = ErrorClass.ABORTED if how == "close" else ErrorClass.TIMEOUT
            assert failure.error_class is expected
            assert payload.readers == 0
            hold.set()
            pooled.connection.abort()
            await until(lambda: not pooled.connection._driver.connections)
            pooled.connection._driver.stop()

    run(test())


def test_a_slow_answer_asks_for_quick_acks_from_then_on() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        message = await peer.read_message()
        assert message is not None
        await asyncio.sleep(2 * SLOW_ANSWER_S)
        peer.respond(message)
        await peer.serve()

    async def test() -> None:
        async with scripted_acceptor(script) as acceptor:
            pooled = await borrow(acceptor)
            assert not pooled.connection.quick_ack
            await send_one(pooled, item(1))
            assert pooled.connection.quick_ack
            await send_one(pooled, item(2))
            pooled.connection.abort()

    run(test())


def test_message_ids_stay_in_range_and_differ_within_a_window() -> None:
    pooled = PooledAssociation(None, {}, 16)  # type: ignore[arg-type]
    ids = [pooled.next_message_id() for _ in range(65535 + 20)]
    assert min(ids) == 1
    assert max(ids) == 65535
    assert ids[65535:] == ids[:20]
