"""What router.aio does as SCP, with our own SCU and with pynetdicom's, and handlers of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from router import aio, evt
from tests.aio.conftest import Peer, add_contexts, run, serving
from tests.support.datasets import (
    CT,
    IMPLICIT,
    MR,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    instance,
    query,
)
from tests.support.rejections import Rejections

FILM_SESSION = "1.2.840.10008.5.1.1.1"


async def ask(
    peer: Peer, server: aio.Server, contexts: list[Any], use: Callable[[Any], Any], **options: Any
) -> Any:
    """Associate with the server by a blocking library in another thread, and use the association there."""

    def associate() -> Any:
        ae = peer.library.AE("SCU")
        add_contexts(ae.add_requested_context, contexts)
        assoc = ae.associate("127.0.0.1", server.server_address[1], **options)
        try:
            return use(assoc)
        finally:
            if assoc.is_established:
                assoc.release()

    return await asyncio.to_thread(associate)


def test_an_echo_without_a_handler_succeeds(peer: Peer) -> None:
    async def main() -> int:
        async with serving([VERIFICATION]) as server:
            status = await ask(peer, server, [VERIFICATION], lambda assoc: assoc.send_c_echo())
            assert await server.drain(10)
            return int(status.Status)

    assert run(main()) == 0x0000


def test_plain_and_asynchronous_handlers_store(peer: Peer) -> None:
    stored: list[str] = []

    def handle_plain(event: Any) -> int:
        stored.append(str(event.dataset.PatientID))
        return 0x0000

    async def handle_awaiting(event: Any, more: int) -> int:
        await asyncio.sleep(0)
        stored.append(str(event.dataset.PatientID))
        return more

    async def main() -> None:
        async with serving([CT], [(evt.EVT_C_STORE, handle_plain)]) as server:
            status = await ask(peer, server, [CT], lambda assoc: assoc.send_c_store(instance(1)))
            assert status.Status == 0x0000
            server.bind(evt.EVT_C_STORE, handle_awaiting, [0xB007])
            status = await ask(peer, server, [CT], lambda assoc: assoc.send_c_store(instance(2)))
            assert status.Status == 0xB007

    run(main())
    assert stored == ["P1", "P2"]


def test_datasets_go_to_the_place_that_is_named(peer: Peer, tmp_path: Path) -> None:
    found: list[tuple[bool, str]] = []

    async def handle(event: Any) -> int:
        await asyncio.sleep(0)
        found.append((event.dataset_path.parent == tmp_path, str(event.dataset.PatientID)))
        return 0x0000

    async def main() -> None:
        async with serving([CT], [(evt.EVT_C_STORE, handle)], receive_to=tmp_path) as server:
            sent = instance(3, pixel_bytes=700_000)
            status = await ask(peer, server, [CT], lambda assoc: assoc.send_c_store(sent))
            assert status.Status == 0x0000

    run(main())
    assert found == [(True, "P3")]
    assert len(list(tmp_path.iterdir())) == 1


def test_handlers_that_raise_are_answered_as_the_blocking_ones_are(peer: Peer) -> None:
    async def fail(event: Any) -> int:
        raise RuntimeError("no")

    async def fail_later(event: Any) -> Any:
        yield 0xFF00, query(PatientID="1")
        raise RuntimeError("no")

    async def main() -> list[int]:
        handlers = [(evt.EVT_C_STORE, fail), (evt.EVT_C_FIND, fail_later), (evt.EVT_N_DELETE, fail)]

        def use(assoc: Any) -> list[int]:
            found = [status.Status for status, _ in assoc.send_c_find(query(PatientID="*"), STUDY_FIND)]
            deleted = assoc.send_n_delete(FILM_SESSION, "1.2.3")
            return [assoc.send_c_store(instance(1)).Status, *found, deleted.Status]

        contexts: list[Any] = [CT, STUDY_FIND, FILM_SESSION]
        async with serving(contexts, handlers) as server:
            found: list[int] = await ask(peer, server, contexts, use)
            return found

    assert run(main()) == [0xC211, 0xFF00, 0xC311, 0x0110]


def test_a_handler_that_awaits_holds_up_nobody_else(peer: Peer) -> None:
    async def main() -> None:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def handle(event: Any) -> int:
            inside.set()
            await go_on.wait()
            return 0x0000

        async with serving([CT, VERIFICATION], [(evt.EVT_C_STORE, handle)]) as server:
            store = asyncio.ensure_future(ask(peer, server, [CT], lambda a: a.send_c_store(instance(1))))
            await inside.wait()
            echo = await ask(peer, server, [VERIFICATION], lambda assoc: assoc.send_c_echo())
            assert echo.Status == 0x0000
            assert len(server.active_associations) >= 1
            assert not store.done()
            go_on.set()
            assert (await store).Status == 0x0000

    run(main())


@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_find_answers_what_the_generator_yields(peer: Peer, is_asynchronous: bool) -> None:
    async def handle_awaiting(event: Any) -> Any:
        for number in range(3):
            await asyncio.sleep(0)
            yield 0xFF00, query(PatientID=str(number) + event.identifier.PatientID)

    def handle_plain(event: Any) -> Any:
        for number in range(3):
            yield 0xFF00, query(PatientID=str(number) + event.identifier.PatientID)

    handle = handle_awaiting if is_asynchronous else handle_plain

    def use(assoc: Any) -> list[Any]:
        responses = assoc.send_c_find(query(PatientID="x"), STUDY_FIND)
        return [(status.Status, identifier and identifier.PatientID) for status, identifier in responses]

    async def main() -> Any:
        async with serving([STUDY_FIND], [(evt.EVT_C_FIND, handle)]) as server:
            return await ask(peer, server, [STUDY_FIND], use)

    assert run(main()) == [(0xFF00, "0x"), (0xFF00, "1x"), (0xFF00, "2x"), (0x0000, None)]


def test_a_find_handler_notices_the_cancel(peer: Peer) -> None:
    closed: list[bool] = []

    async def handle(event: Any) -> Any:
        try:
            yield 0xFF00, query(PatientID="1")
            while not event.is_cancelled:
                await asyncio.sleep(0)
            yield 0xFE00, None
        finally:
            closed.append(True)

    def use(assoc: Any) -> list[int]:
        statuses = []
        for status, _ in assoc.send_c_find(query(PatientID="*"), STUDY_FIND, msg_id=5):
            statuses.append(status.Status)
            if len(statuses) == 1:
                assoc.send_c_cancel(5, query_model=STUDY_FIND)
        return statuses

    async def main() -> Any:
        async with serving([STUDY_FIND], [(evt.EVT_C_FIND, handle)]) as server:
            return await ask(peer, server, [STUDY_FIND], use)

    assert run(main()) == [0xFF00, 0xFE00]
    assert closed == [True]


@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_get_sends_what_the_generator_yields(peer: Peer, is_asynchronous: bool) -> None:
    async def handle_awaiting(event: Any) -> Any:
        yield 2
        await asyncio.sleep(0)
        yield 0xFF00, instance(1)
        yield 0xFF00, instance(2)

    def handle_plain(event: Any) -> Any:
        yield 2
        yield 0xFF00, instance(1)
        yield 0xFF00, instance(2)

    stored: list[str] = []

    def handle_store(event: Any) -> int:
        stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def use(assoc: Any) -> list[int]:
        return [status.Status for status, _ in assoc.send_c_get(query(PatientID="*"), STUDY_GET)]

    async def main() -> Any:
        handle = handle_awaiting if is_asynchronous else handle_plain
        async with serving([STUDY_GET, (CT, IMPLICIT, True, True)], [(evt.EVT_C_GET, handle)]) as server:
            library = peer.library
            options = {
                "ext_neg": [library.build_role(CT, scp_role=True)],
                "evt_handlers": [(library.evt.EVT_C_STORE, handle_store)],
            }
            return await ask(peer, server, [STUDY_GET, (CT, IMPLICIT)], use, **options)

    assert run(main()) == [0xFF00, 0xFF00, 0x0000]
    assert stored == ["1.2.3.1", "1.2.3.2"]


@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_move_stores_at_the_destination(peer: Peer, is_asynchronous: bool) -> None:
    arrived: list[Any] = []

    def handle_store(event: Any) -> int:
        arrived.append(event.request.MoveOriginatorMessageID)
        return 0x0000

    async def main() -> Any:
        async with serving([CT], [(evt.EVT_C_STORE, handle_store)]) as destination:
            port = destination.server_address[1]

            def handle_plain(event: Any) -> Any:
                assert event.move_destination == "DEST"
                yield "127.0.0.1", port, {"contexts": [build(CT)]}
                yield 2
                yield 0xFF00, instance(1)
                yield 0xFF00, instance(2, SOPClassUID=MR)

            async def handle_awaiting(event: Any) -> Any:
                await asyncio.sleep(0)
                for item in handle_plain(event):
                    yield item

            from router import build_context as build

            def use(assoc: Any) -> list[Any]:
                moved = assoc.send_c_move(query(PatientID="*"), "DEST", STUDY_MOVE, msg_id=9)
                return [(s.Status, s.get("NumberOfFailedSuboperations")) for s, _ in moved]

            handle = handle_awaiting if is_asynchronous else handle_plain
            async with serving([STUDY_MOVE], [(evt.EVT_C_MOVE, handle)]) as server:
                return await ask(peer, server, [STUDY_MOVE], use)

    assert run(main()) == [(0xFF00, 0), (0xFF00, 1), (0xB000, 1)]
    assert arrived == [9]


def test_a_move_to_nowhere_is_answered(peer: Peer) -> None:
    async def handle(event: Any) -> Any:
        yield None, None

    async def main() -> Any:
        async with serving([STUDY_MOVE], [(evt.EVT_C_MOVE, handle)]) as server:
            return await ask(
                peer,
                server,
                [STUDY_MOVE],
                lambda a: [s.Status for s, _ in a.send_c_move(query(PatientID="*"), "DEST", STUDY_MOVE)],
            )

    assert run(main()) == [0xA801]


def test_normalised_requests_reach_their_handlers(peer: Peer) -> None:
    told = Dataset()
    told.PatientID = "P"

    async def handle_get(event: Any) -> Any:
        await asyncio.sleep(0)
        assert event.attribute_identifiers == [0x00100020]
        return 0x0000, told

    def handle_set(event: Any) -> Any:
        return 0x0000, event.modification_list

    def use(assoc: Any) -> list[Any]:
        got = assoc.send_n_get([0x00100020], FILM_SESSION, "1.2.3")
        put = assoc.send_n_set(told, FILM_SESSION, "1.2.3")
        return [(status.Status, dataset.PatientID) for status, dataset in (got, put)]

    async def main() -> Any:
        handlers = [(evt.EVT_N_GET, handle_get), (evt.EVT_N_SET, handle_set)]
        async with serving([FILM_SESSION], handlers) as server:
            return await ask(peer, server, [FILM_SESSION], use)

    assert run(main()) == [(0x0000, "P"), (0x0000, "P")]


def test_a_handler_may_use_the_association_it_is_told_about(peer: Peer) -> None:
    async def handle(event: Any) -> Any:
        status, _ = await event.assoc.send_n_event_report(query(), 1, FILM_SESSION, "1.2.3")
        return status.Status, None

    def handle_report(event: Any) -> Any:
        return 0x0000, None

    def use(assoc: Any) -> int:
        return int(assoc.send_n_action(query(), 1, FILM_SESSION, "1.2.3")[0].Status)

    async def main() -> Any:
        contexts = [(FILM_SESSION, IMPLICIT, True, True)]
        async with serving(contexts, [(evt.EVT_N_ACTION, handle)]) as server:
            library = peer.library
            options = {
                "ext_neg": [library.build_role(FILM_SESSION, scu_role=True, scp_role=True)],
                "evt_handlers": [(library.evt.EVT_N_EVENT_REPORT, handle_report)],
            }
            return await ask(peer, server, [(FILM_SESSION, IMPLICIT)], use, **options)

    assert run(main()) == 0x0000


def test_more_associations_than_allowed_are_rejected(peer: Peer) -> None:
    async def main() -> None:
        async with serving([VERIFICATION], maximum_associations=1) as server:

            def use(assoc: Any) -> tuple[int, int, int]:
                assert assoc.is_established
                ae = peer.library.AE("SCU")
                ae.add_requested_context(VERIFICATION)
                rejections = Rejections()
                handlers = [(peer.library.evt.EVT_PDU_RECV, rejections.note)]
                second = ae.associate("127.0.0.1", server.server_address[1], evt_handlers=handlers)
                assert not second.is_established
                assert second.is_rejected or peer.library.__name__ == "pynetdicom"
                return rejections.next()

            assert await ask(peer, server, [VERIFICATION], use) == (2, 3, 2)

    run(main())


def test_shutdown_aborts_what_is_open(peer: Peer) -> None:
    async def main() -> bool:
        async with serving([VERIFICATION]) as server:

            def use(assoc: Any) -> bool:
                loop_ae = server.ae
                asyncio.run_coroutine_threadsafe(loop_ae.shutdown(), loop).result(20)
                assoc.join(20)
                return bool(assoc.is_aborted)

            loop = asyncio.get_running_loop()
            is_aborted: bool = await ask(peer, server, [VERIFICATION], use)
            assert not server.active_associations
            return is_aborted

    assert run(main())
