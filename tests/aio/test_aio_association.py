"""How an association on the event loop begins, idles and ends, and what its handlers are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from router import aio, evt
from router.aio.connection import RESPONSES_WAITING_MAX
from tests.aio.conftest import add_contexts, associated, run, serving
from tests.support.certificates import client_context, server_context
from tests.support.datasets import CT, IMPLICIT, STUDY_FIND, VERIFICATION, instance, query, write


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A listening socket that nobody serves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def entity(*contexts: Any, **settings: Any) -> aio.AE:
    ae = aio.AE("SCU")
    add_contexts(ae.add_requested_context, list(contexts))
    for name, value in settings.items():
        setattr(ae, name, value)
    return ae


def port_of(server: aio.Server) -> int:
    port: int = server.server_address[1]
    return port


def test_wrong_arguments_are_refused_as_by_the_blocking_library() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="presentation context"):
            await aio.AE().associate("127.0.0.1", 104)
        with pytest.raises(TypeError):
            await entity(VERIFICATION).associate("127.0.0.1", "104")
        with pytest.raises(ValueError, match="No supported"):
            await aio.AE().start_server(("127.0.0.1", 0))

    run(main())


def test_a_peer_that_is_not_there_leaves_an_aborted_association() -> None:
    async def main() -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            assoc = await entity(VERIFICATION).associate("127.0.0.1", reserved.getsockname()[1])
        assert assoc.is_aborted
        assert not assoc.is_established

    run(main())


def test_a_name_without_address_raises() -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await entity(VERIFICATION).associate("nowhere.invalid", 104)

    run(main())


def test_a_peer_that_never_answers_is_given_up_after_the_acse_timeout(silent_port: int) -> None:
    async def main() -> None:
        assoc = await entity(VERIFICATION, acse_timeout=0.1).associate("127.0.0.1", silent_port)
        assert assoc.is_aborted

    run(main())


def test_a_cancelled_request_leaves_nothing_behind(silent_port: int) -> None:
    async def main() -> None:
        ae = entity(VERIFICATION, acse_timeout=None)
        request = asyncio.ensure_future(ae.associate("127.0.0.1", silent_port))
        while not ae.active_associations:
            await asyncio.sleep(0)
        (assoc,) = ae.active_associations
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert assoc.is_aborted
        await assoc.abort()
        assert not assoc.is_alive()
        assert not ae.active_associations

    run(main())


def test_the_limit_of_asyncio_timeout_ends_an_operation() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def handle(event: Any) -> int:
            await release.wait()
            return 0x0000

        async with (
            serving([VERIFICATION], [(evt.EVT_C_ECHO, handle)]) as server,
            associated(port_of(server), [VERIFICATION]) as assoc,
        ):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await assoc.send_c_echo()
            release.set()
            assert (await assoc.send_c_echo()).Status == 0x0000

    run(main())


def test_an_error_in_the_block_aborts() -> None:
    async def main() -> None:
        async with serving([VERIFICATION]) as server:
            with pytest.raises(RuntimeError, match="mine"):
                async with associated(port_of(server), [VERIFICATION]) as assoc:
                    raise RuntimeError("mine")
            assert assoc.is_aborted
            assert not assoc.is_alive()

    run(main())


def test_a_cancelled_store_from_memory_leaves_the_association_usable() -> None:
    async def main() -> list[str]:
        stored = []
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def handle(event: Any) -> int:
            stored.append(str(event.request.AffectedSOPInstanceUID))
            inside.set()
            await go_on.wait()
            return 0x0000

        async with (
            serving([CT], [(evt.EVT_C_STORE, handle)]) as server,
            associated(port_of(server), [CT]) as assoc,
        ):
            store = asyncio.ensure_future(assoc.send_c_store(instance(1)))
            await inside.wait()
            store.cancel()
            await asyncio.wait([store])
            go_on.set()
            assert (await assoc.send_c_store(instance(2))).Status == 0x0000
        return stored

    assert run(main()) == ["1.2.3.1", "1.2.3.2"]


def test_a_store_cancelled_while_its_file_is_read_aborts(tmp_path: Path) -> None:
    path = write(instance(1, pixel_bytes=32 << 20), tmp_path / "large.dcm")

    async def main() -> None:
        async with (
            serving([(CT, IMPLICIT)], [(evt.EVT_C_STORE, lambda event: 0)]) as server,
            associated(port_of(server), [(CT, IMPLICIT)]) as assoc,
        ):
            store = asyncio.ensure_future(assoc.send_c_store(path))
            await asyncio.sleep(0)
            assert assoc._connection.association.has_output
            store.cancel()
            await asyncio.wait([store])
            await assoc.wait_closed()
            assert assoc.is_aborted

    run(main())


def test_several_coroutines_share_an_association() -> None:
    async def main() -> list[int]:
        async with (
            serving([VERIFICATION]) as server,
            associated(port_of(server), [VERIFICATION]) as assoc,
        ):
            statuses = await asyncio.gather(*(assoc.send_c_echo() for _ in range(20)))
            return [status.Status for status in statuses]

    assert run(main()) == [0x0000] * 20


def test_a_slow_consumer_holds_the_peer_back_and_loses_nothing() -> None:
    matches = 3000

    async def handle(event: Any) -> Any:
        for number in range(matches):
            yield 0xFF00, query(PatientID=str(number), StudyDescription="B" * 60)

    async def main() -> list[str]:
        found = []
        async with (
            serving([STUDY_FIND], [(evt.EVT_C_FIND, handle)]) as server,
            associated(port_of(server), [STUDY_FIND]) as assoc,
        ):
            connection = assoc._connection
            async for status, identifier in assoc.send_c_find(query(), STUDY_FIND):
                if identifier is not None:
                    found.append(str(identifier.PatientID))
                if len(found) == 1:
                    while not connection._is_reading_paused:
                        await asyncio.sleep(0)
                    (task,) = (t for t in connection.conversation.tasks if t.inbox)
                    assert task.inbox is not None
                    assert RESPONSES_WAITING_MAX <= len(task.inbox) < 4 * RESPONSES_WAITING_MAX
                assert status.Status in (0xFF00, 0x0000)
        return found

    assert run(main()) == [str(number) for number in range(matches)]


@pytest.mark.parametrize("response", ["A-ABORT", "A-RELEASE"])
def test_an_idle_association_is_ended_as_the_program_chose(response: str) -> None:
    async def main() -> None:
        async with (
            serving([VERIFICATION]) as server,
            associated(port_of(server), [VERIFICATION]) as assoc,
        ):
            assoc.network_timeout_response = response
            assoc.network_timeout = 0.1
            await assoc.wait_closed()
            assert assoc.is_released == (response == "A-RELEASE")
            assert assoc.is_aborted == (response == "A-ABORT")

    run(main())


def test_tls_on_both_sides() -> None:
    async def main() -> None:
        stored: list[int] = []

        def handle(event: Any) -> int:
            stored.append(len(event.dataset.PixelData))
            return 0x0000

        options = {"ssl_context": server_context()}
        async with serving([CT], [(evt.EVT_C_STORE, handle)], **options) as server:
            tls = (client_context(), "localhost")
            async with associated(port_of(server), [CT], tls_args=tls) as assoc:
                assert (await assoc.send_c_store(instance(1, pixel_bytes=3_000_000))).Status == 0x0000
            untrusting = await entity(CT, acse_timeout=5).associate("127.0.0.1", port_of(server))
            assert untrusting.is_aborted
        assert stored == [3_000_000]

    run(main())


def test_notifications_tell_of_every_step_and_every_pdu() -> None:
    told: list[str] = []
    pdus: list[str] = []

    def note(event: Any) -> None:
        told.append(event.event.name)

    def note_pdu(event: Any) -> None:
        pdus.append(f"{event.event.name} {type(event.pdu).__name__}")

    notes = [evt.EVT_CONN_OPEN, evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED]
    notes += [evt.EVT_RELEASED, evt.EVT_CONN_CLOSE, evt.EVT_DIMSE_SENT, evt.EVT_DIMSE_RECV]
    handlers: list[Any] = [(event, note) for event in notes]
    handlers += [(evt.EVT_PDU_RECV, note_pdu), (evt.EVT_PDU_SENT, note_pdu)]

    async def main() -> None:
        async with serving([VERIFICATION]) as server:
            async with associated(port_of(server), [VERIFICATION], evt_handlers=handlers) as assoc:
                await assoc.send_c_echo()
            await assoc.wait_closed()

    run(main())
    assert told == [
        "EVT_CONN_OPEN",
        "EVT_REQUESTED",
        "EVT_ACCEPTED",
        "EVT_ESTABLISHED",
        "EVT_DIMSE_SENT",
        "EVT_DIMSE_RECV",
        "EVT_RELEASED",
        "EVT_CONN_CLOSE",
    ]
    assert pdus == [
        "EVT_PDU_SENT A_ASSOCIATE_RQ",
        "EVT_PDU_RECV A_ASSOCIATE_AC",
        "EVT_PDU_SENT P_DATA_TF",
        "EVT_PDU_RECV P_DATA_TF",
        "EVT_PDU_SENT A_RELEASE_RQ",
        "EVT_PDU_RECV A_RELEASE_RP",
    ]


def test_handlers_that_cannot_be_awaited_must_be_plain() -> None:
    async def coroutine(event: Any) -> int:
        return 0

    async def items(event: Any) -> Any:
        yield 0

    class Answering:
        async def __call__(self, event: Any) -> int:
            return 0

    async def main() -> None:
        async with serving([VERIFICATION]) as server:
            for handler in (coroutine, Answering()):
                with pytest.raises(TypeError, match="coroutine function"):
                    server.bind(evt.EVT_RELEASED, handler)
                server.bind(evt.EVT_C_STORE, handler)
            with pytest.raises(TypeError, match="coroutine function"):
                server.bind(evt.EVT_C_FIND, coroutine)
            with pytest.raises(TypeError, match="asynchronous generator"):
                server.bind(evt.EVT_C_ECHO, items)

    run(main())


def test_probes_and_stray_bytes_leave_no_association() -> None:
    async def main() -> None:
        async with serving([VERIFICATION]) as server:
            for data in (b"", b"GET / HTTP/1.1\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
                writer.write(data)
                await writer.drain()
                writer.write_eof()
                await reader.read()
                writer.close()
            assert not server.active_associations
            async with associated(port_of(server), [VERIFICATION]) as assoc:
                assert (await assoc.send_c_echo()).Status == 0x0000

    run(main())


def test_serve_forever_serves_until_it_is_cancelled() -> None:
    async def main() -> None:
        async with serving([VERIFICATION]) as server:
            serving_on = asyncio.ensure_future(server.serve_forever())
            async with associated(port_of(server), [VERIFICATION]) as assoc:
                assert (await assoc.send_c_echo()).Status == 0x0000
            serving_on.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving_on
            refused = await entity(VERIFICATION).associate("127.0.0.1", port_of(server))
            assert refused.is_aborted

    run(main())


def test_it_runs_on_uvloop_too(tmp_path: Path) -> None:
    path = write(instance(1, pixel_bytes=8 << 20), tmp_path / "large.dcm")

    async def main() -> list[int]:
        stored: list[int] = []

        async def handle(event: Any) -> int:
            stored.append(len(event.dataset.PixelData))
            return 0x0000

        async with (
            serving([(CT, IMPLICIT)], [(evt.EVT_C_STORE, handle)]) as server,
            associated(port_of(server), [(CT, IMPLICIT)]) as assoc,
        ):
            assert (await assoc.send_c_store(path)).Status == 0x0000
        return stored

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == [8 << 20]
