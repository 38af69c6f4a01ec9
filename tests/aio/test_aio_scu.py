"""What router.aio does as SCU, with our own SCP and with pynetdicom's."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from router import aio
from tests.aio.conftest import Peer, associated, run
from tests.support.datasets import (
    CT,
    EXPLICIT,
    IMPLICIT,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    instance,
    query,
    write,
)


def test_echo_and_release(peer: Peer) -> None:
    port = peer.serve([VERIFICATION])

    async def main() -> aio.Association:
        async with associated(port, [VERIFICATION]) as assoc:
            assert assoc.is_established
            assert assoc.acceptor.port == port
            assert (await assoc.send_c_echo()).Status == 0x0000
            return assoc

    assoc = run(main())
    assert assoc.is_released
    assert not assoc.is_established


def test_operations_need_an_association_and_a_context(peer: Peer) -> None:
    port = peer.serve([VERIFICATION])

    async def main() -> None:
        async with associated(port, [VERIFICATION]) as assoc:
            with pytest.raises(ValueError, match="No presentation context"):
                await assoc.send_c_store(instance())
            with pytest.raises(ValueError, match="No presentation context"):
                assoc.send_c_find(query(), STUDY_FIND)
        with pytest.raises(RuntimeError, match="must be established"):
            await assoc.send_c_echo()

    run(main())


def test_store_sends_a_dataset_and_a_file(peer: Peer, tmp_path: Path) -> None:
    seen: list[tuple[str, bytes]] = []

    def handle(event: Any) -> int:
        dataset = event.dataset
        seen.append((str(dataset.SOPInstanceUID), dataset.PixelData))
        return 0xB000 if len(seen) == 2 else 0x0000

    port = peer.serve([CT], [(peer.library.evt.EVT_C_STORE, handle)])
    large = instance(2, pixel_bytes=5_000_000)

    async def main() -> list[int]:
        async with associated(port, [(CT, IMPLICIT)]) as assoc:
            first = await assoc.send_c_store(instance(1))
            second = await assoc.send_c_store(write(large, tmp_path / "large.dcm"), originator_aet="M")
            third = await assoc.send_c_store(write(instance(3, EXPLICIT), tmp_path / "other.dcm"))
            return [first.Status, second.Status, third.Status]

    assert run(main()) == [0x0000, 0xB000, 0x0000]
    assert [uid for uid, _ in seen] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert seen[1][1] == large.PixelData


def test_many_instances_are_sent_by_one_generator(peer: Peer) -> None:
    received: list[str] = []

    def handle(event: Any) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    port = peer.serve([CT], [(peer.library.evt.EVT_C_STORE, handle)])
    broken = Dataset()

    async def items() -> Any:
        for number in range(3):
            yield instance(number)
        yield broken

    async def main() -> list[int]:
        async with associated(port, [CT]) as assoc:
            plain = [s.Status async for _, s in assoc.send_c_store_many([instance(n) for n in range(3, 6)])]
            found = [(item, s.Status) async for item, s in assoc.send_c_store_many(items())]
            assert found[-1] == (broken, 0x0110)
            return plain + [status for _, status in found[:-1]]

    assert run(main()) == [0] * 6
    assert sorted(received) == [f"1.2.3.{number}" for number in range(6)]


def test_find_yields_matches_and_the_final_status(peer: Peer) -> None:
    def handle(event: Any) -> Any:
        assert event.identifier.PatientID == "*"
        for number in range(2000):
            yield 0xFF00, query(PatientID=str(number))

    port = peer.serve([STUDY_FIND], [(peer.library.evt.EVT_C_FIND, handle)])

    async def main() -> list[Any]:
        found = []
        async with associated(port, [STUDY_FIND]) as assoc:
            async for status, identifier in assoc.send_c_find(query(PatientID="*"), STUDY_FIND):
                found.append((status.Status, identifier and identifier.PatientID))
                if len(found) == 10:
                    # While its consumer sleeps, the peer's responses wait on its side, not in our memory.
                    for _ in range(200):
                        await asyncio.sleep(0)
                    waiting = [len(task.inbox or ()) for task in assoc._connection.conversation.tasks]
                    assert max(waiting) < 4096
        return found

    found = run(main())
    assert found[:-1] == [(0xFF00, str(number)) for number in range(2000)]
    assert found[-1] == (0x0000, None)


def test_a_loop_left_early_cancels_the_operation_and_the_association_goes_on(peer: Peer) -> None:
    cancelled = threading.Event()
    go_on = threading.Event()

    def handle(event: Any) -> Any:
        yield 0xFF00, query(PatientID="1")
        while not event.is_cancelled:
            assert not go_on.wait(0.01)
        cancelled.set()
        yield 0xFE00, None

    handlers = [(peer.library.evt.EVT_C_FIND, handle)]
    port = peer.serve([STUDY_FIND, VERIFICATION], handlers)

    async def main() -> None:
        async with associated(port, [STUDY_FIND, VERIFICATION]) as assoc:
            async with aclosing(assoc.send_c_find(query(PatientID="*"), STUDY_FIND)) as responses:
                async for status, _ in responses:
                    assert status.Status == 0xFF00
                    break
            assert await asyncio.to_thread(cancelled.wait, 20)
            assert (await assoc.send_c_echo()).Status == 0x0000

    run(main())


def test_get_gives_its_instances_to_the_handler(peer: Peer) -> None:
    def handle_get(event: Any) -> Any:
        yield 2
        yield 0xFF00, instance(1)
        yield 0xFF00, instance(2)

    port = peer.serve([STUDY_GET, (CT, IMPLICIT, True, True)], [(peer.library.evt.EVT_C_GET, handle_get)])
    stored: list[str] = []

    async def handle_store(event: Any) -> int:
        await asyncio.sleep(0)
        stored.append(str(event.dataset.SOPInstanceUID))
        return 0x0000

    from router import build_role, evt

    async def main() -> Any:
        handlers: list[Any] = [(evt.EVT_C_STORE, handle_store)]
        options = {"ext_neg": [build_role(CT, scp_role=True)], "evt_handlers": handlers}
        async with associated(port, [STUDY_GET, (CT, IMPLICIT)], **options) as assoc:
            return [status async for status, _ in assoc.send_c_get(query(PatientID="*"), STUDY_GET)][-1]

    status = run(main())
    assert (status.Status, status.NumberOfCompletedSuboperations) == (0x0000, 2)
    assert stored == ["1.2.3.1", "1.2.3.2"]


def test_move_has_instances_sent_elsewhere(peer: Peer) -> None:
    evt = peer.library.evt
    arrived: list[tuple[str, str]] = []

    def handle_store(event: Any) -> int:
        request = event.request
        arrived.append((str(request.AffectedSOPInstanceUID), request.MoveOriginatorApplicationEntityTitle))
        return 0x0000

    destination = peer.serve([CT], [(evt.EVT_C_STORE, handle_store)])

    def handle_move(event: Any) -> Any:
        contexts = [peer.library.build_context(CT)]
        yield "127.0.0.1", destination, {"contexts": contexts}
        yield 1
        yield 0xFF00, instance(7)

    port = peer.serve([STUDY_MOVE], [(evt.EVT_C_MOVE, handle_move)])

    async def main() -> list[int]:
        async with associated(port, [STUDY_MOVE]) as assoc:
            moved = assoc.send_c_move(query(PatientID="*"), "DEST", STUDY_MOVE)
            return [status.Status async for status, _ in moved]

    assert run(main()) == [0xFF00, 0x0000]
    assert arrived == [("1.2.3.7", "SCP")]


def test_normalised_services_return_status_and_dataset(peer: Peer) -> None:
    evt = peer.library.evt
    told = Dataset()
    told.PatientID = "P"

    def with_dataset(event: Any) -> Any:
        return 0x0000, told

    handlers = [
        (evt.EVT_N_CREATE, with_dataset),
        (evt.EVT_N_SET, with_dataset),
        (evt.EVT_N_GET, with_dataset),
        (evt.EVT_N_ACTION, with_dataset),
        (evt.EVT_N_EVENT_REPORT, with_dataset),
        (evt.EVT_N_DELETE, lambda event: 0x0112),
    ]
    film = "1.2.840.10008.5.1.1.1"
    port = peer.serve([film], handlers)

    async def main() -> None:
        async with associated(port, [film]) as assoc:
            answers = [
                await assoc.send_n_create(told, film, "1.2.3"),
                await assoc.send_n_set(told, film, "1.2.3"),
                await assoc.send_n_get([0x00100020], film, "1.2.3"),
                await assoc.send_n_action(told, 1, film, "1.2.3"),
                await assoc.send_n_event_report(told, 1, film, "1.2.3"),
            ]
            for status, dataset in answers:
                assert status.Status == 0x0000
                assert dataset is not None
                assert dataset.PatientID == "P"
            assert (await assoc.send_n_delete(film, "1.2.3")).Status == 0x0112

    run(main())


def test_a_rejection_shows_in_the_association(peer: Peer) -> None:
    port = peer.serve([VERIFICATION], require_called_aet=True)

    async def main() -> None:
        async with associated(port, [VERIFICATION]) as assoc:
            assert assoc.is_rejected
            assert not assoc.is_established
            assert assoc.acceptor.primitive is not None
            assert assoc.acceptor.primitive.diagnostic == 7

    run(main())


def test_an_association_without_contexts_is_aborted(peer: Peer) -> None:
    port = peer.serve([VERIFICATION])

    async def main() -> None:
        async with associated(port, [CT]) as assoc:
            assert assoc.is_aborted
            assert len(assoc.rejected_contexts) == 1

    run(main())


def test_abort_ends_what_is_under_way_with_an_empty_status(peer: Peer) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def handle(event: Any) -> int:
        inside.set()
        go_on.wait(20)
        return 0x0000

    port = peer.serve([VERIFICATION], [(peer.library.evt.EVT_C_ECHO, handle)])

    async def main() -> None:
        async with associated(port, [VERIFICATION]) as assoc:
            echo = asyncio.ensure_future(assoc.send_c_echo())
            assert await asyncio.to_thread(inside.wait, 20)
            await assoc.abort()
            assert "Status" not in await echo
            assert assoc.is_aborted
        go_on.set()

    run(main())


def test_a_dimse_timeout_gives_an_empty_status_and_aborts(peer: Peer) -> None:
    go_on = threading.Event()
    port = peer.serve([VERIFICATION], [(peer.library.evt.EVT_C_ECHO, lambda event: go_on.wait(20) * 0)])

    async def main() -> None:
        async with associated(port, [VERIFICATION], dimse_timeout=0.1) as assoc:
            assert "Status" not in await assoc.send_c_echo()
            assert assoc.is_aborted
        go_on.set()

    run(main())


def test_a_cancelled_operation_is_forgotten_and_the_association_goes_on(peer: Peer) -> None:
    inside, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def handle(event: Any) -> int:
        seen.append(event.message_id)
        inside.set()
        go_on.wait(20)
        return 0x0000

    port = peer.serve([VERIFICATION], [(peer.library.evt.EVT_C_ECHO, handle)])

    async def main() -> None:
        async with associated(port, [VERIFICATION]) as assoc:
            echo = asyncio.ensure_future(assoc.send_c_echo())
            assert await asyncio.to_thread(inside.wait, 20)
            echo.cancel()
            with pytest.raises(asyncio.CancelledError):
                await echo
            go_on.set()
            assert (await assoc.send_c_echo()).Status == 0x0000
            assert assoc.is_established

    run(main())
    assert seen == [1, 2]  # the first one's Message ID is not used again before its response came


def test_many_associations_at_once(peer: Peer) -> None:
    # pynetdicom polls with two threads for each, which takes this process's deadline on a loaded machine
    count = 100 if peer.library.__name__ == "router" else 25
    port = peer.serve([VERIFICATION], maximum_associations=count)
    everybody_is_there = asyncio.Barrier(count)

    async def one() -> tuple[int, bool]:
        async with associated(port, [VERIFICATION]) as assoc:
            await everybody_is_there.wait()
            status = await assoc.send_c_echo()
        return int(status.Status), assoc.is_released

    async def main() -> list[tuple[int, bool]]:
        return await asyncio.gather(*(one() for _ in range(count)))

    assert run(main()) == [(0x0000, True)] * count
