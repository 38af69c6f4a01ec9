"""A C-STORE that comes by the lane is, for its handler and its sender, like the one before that did not."""

from __future__ import annotations

import logging
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from router.pdu_primitives import AsynchronousOperationsWindowNegotiation
from router.wire.codec import CODEC_NAME
from tests.api.conftest import Pair
from tests.support.certificates import client_context, server_context
from tests.support.datasets import CT, instance

WAIT_S = 30.0


def lane_of(server: Any) -> Any:
    """The lane of the only association, None if it has none."""
    (assoc,) = server.active_associations
    return None if assoc._direct_stores is None else assoc._direct_stores._lane


def describe(event: Any) -> dict[str, Any]:
    """Everything that a handler can see of a request, but for what differs between two of them."""
    assert isinstance(event.request.DataSet, BytesIO)
    return {
        "event": event.event,
        "context": event.context,
        "meta": event.file_meta,
        "dataset": event.dataset,
        "encoded": event.encoded_dataset(False),
        "file": dcmread(BytesIO(event.encoded_dataset())),
        "type": event.request.msg_type,
        "class": event.request.AffectedSOPClassUID,
        "instance": event.request.AffectedSOPInstanceUID,
        "priority": event.request.Priority,
        "assoc": event.assoc,
        "has": [name for name in ("identifier", "is_cancelled", "action_type") if hasattr(event, name)],
    }


@pytest.mark.parametrize("pixel_bytes", [0, 100, 20_000, 700_000, 5_000_000])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_handler_sees_the_same(ours: Pair, pixel_bytes: int, syntax: str) -> None:
    seen: list[dict[str, Any]] = []
    message_ids: list[int] = []

    def handle(event: Any) -> int:
        seen.append(describe(event))
        message_ids.append(event.message_id)
        return 0x0000

    server = ours.serve([(CT, [syntax])], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [(CT, [syntax])])
    dataset = instance(1, pixel_bytes=pixel_bytes)
    for number in (7, 8, 9):
        assert assoc.send_c_store(dataset, msg_id=number).Status == 0x0000
    assert message_ids == [7, 8, 9]
    assert seen[0] == seen[1] == seen[2]
    assert lane_of(server).instances == 2 if CODEC_NAME == "compiled" else lane_of(server) is None


def answers() -> list[Any]:
    commented = Dataset()
    commented.Status, commented.ErrorComment = 0xA700, "no room"
    success = Dataset()
    success.Status = 0x0000
    return [0x0000, 0xB000, 0xA700, commented, success, Dataset(), "nothing", None, -1, 0x10000]


@pytest.mark.parametrize("answer", answers(), ids=repr)
def test_its_sender_is_answered_the_same(ours: Pair, answer: Any) -> None:
    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, lambda event: answer)])
    assoc = ours.associate(server, [CT])
    first, second, third = (assoc.send_c_store(instance(1)) for _ in range(3))
    assert first == second == third


def test_a_handler_that_raises_costs_its_request_alone(ours: Pair, caplog: pytest.LogCaptureFixture) -> None:
    count = 0

    def handle(event: Any) -> int:
        nonlocal count
        count += 1
        if count % 2 == 0:
            raise RuntimeError("no")
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [CT])
    with caplog.at_level(logging.ERROR):
        statuses = [assoc.send_c_store(instance(1)).Status for _ in range(4)]
    assert statuses == [0x0000, 0xC211, 0x0000, 0xC211]
    assert caplog.text.count("Exception in the handler bound to 'evt.EVT_C_STORE'") == 2


def test_a_handler_that_exits_costs_its_request_alone(ours: Pair) -> None:
    def handle(event: Any) -> int:
        if event.message_id != 1:
            raise SystemExit(1)
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [CT])
    statuses = [assoc.send_c_store(instance(1), msg_id=number).Status for number in (1, 2, 3, 1)]
    assert statuses == [0x0000, 0x0110, 0x0110, 0x0000]
    other = ours.associate(server, [CT])
    assert [other.send_c_store(instance(1), msg_id=number).Status for number in (2, 1)] == [0x0110, 0x0000]


def test_without_a_handler_each_is_refused(ours: Pair) -> None:
    assoc = ours.associate(ours.serve([CT]), [CT])
    assert [assoc.send_c_store(instance(1)).Status for _ in range(3)] == [0xC211] * 3


def test_what_is_bound_later_is_told_of_the_next_message(ours: Pair) -> None:
    evt = ours.scp.evt
    told: list[str] = []
    server = ours.serve([CT], [(evt.EVT_C_STORE, lambda event: 0x0000)])
    assoc = ours.associate(server, [CT])
    for _ in range(2):
        assert assoc.send_c_store(instance(1)).Status == 0x0000
    for event in (evt.EVT_DIMSE_RECV, evt.EVT_DIMSE_SENT, evt.EVT_PDU_SENT):
        server.bind(event, lambda event: told.append(event.event.name))
    assert assoc.send_c_store(instance(1)).Status == 0x0000
    assert assoc.send_c_store(instance(1)).Status == 0x0000
    assert {"EVT_DIMSE_RECV", "EVT_DIMSE_SENT", "EVT_PDU_SENT"} <= set(told)


def test_datasets_go_to_files_from_when_they_are_asked_for(ours: Pair, tmp_path: Path) -> None:
    paths: list[Any] = []

    def handle(event: Any) -> int:
        paths.append(event.dataset_path if event.assoc.receive_to else None)
        event.assoc.receive_to = tmp_path
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [CT])
    for _ in range(3):
        assert assoc.send_c_store(instance(1, pixel_bytes=1000)).Status == 0x0000
    assert paths[0] is None
    assert [path.parent for path in paths[1:]] == [tmp_path, tmp_path]


def test_a_handler_may_abort(ours: Pair) -> None:
    handled = threading.Semaphore(0)

    def handle(event: Any) -> int:
        if event.message_id == 3:
            event.assoc.abort()
        handled.release()
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [CT])
    for number in (1, 2):
        assert assoc.send_c_store(instance(1), msg_id=number).Status == 0x0000
    assert not assoc.send_c_store(instance(1), msg_id=3)
    assert assoc.is_aborted
    for _ in range(3):
        assert handled.acquire(timeout=WAIT_S)


@pytest.mark.parametrize("pdu_bytes", [16382, 200_000, 0])
def test_datasets_come_whole_through_tls_and_in_pdus_of_any_length(ours: Pair, pdu_bytes: int) -> None:
    seen: list[tuple[str, bytes]] = []

    def handle(event: Any) -> int:
        seen.append((event.request.AffectedSOPInstanceUID, bytes(event.dataset.PixelData)))
        return 0x0000

    handlers = [(ours.scp.evt.EVT_C_STORE, handle)]
    plain = ours.serve([CT], handlers, maximum_pdu_size=pdu_bytes)
    tls = ours.serve([CT], handlers, maximum_pdu_size=pdu_bytes, ssl_context=server_context())
    sizes = [10, 900_000, 1_000_000, 40, 30_000, 2_000_000]
    for server, options in ((plain, {}), (tls, {"tls_args": (client_context(), "localhost")})):
        assoc = ours.associate(server, [CT], **options)
        for number, size in enumerate(sizes):
            dataset = instance(number)
            dataset.PixelData = bytes([number]) * size
            assert assoc.send_c_store(dataset).Status == 0x0000
        assoc.release()
    assert seen == 2 * [(f"1.2.3.{number}", bytes([number]) * size) for number, size in enumerate(sizes)]


def test_many_at_once_are_handled_side_by_side_where_that_was_negotiated(ours: Pair) -> None:
    together = threading.Barrier(3)
    evt = ours.scp.evt

    def handle(event: Any) -> int:
        if event.request.AffectedSOPInstanceUID != "1.2.3.1":
            together.wait(WAIT_S)
        return 0x0000

    handlers = [(evt.EVT_C_STORE, handle), (evt.EVT_ASYNC_OPS, lambda event: (3, 3))]
    server = ours.serve([CT], handlers)
    ae = ours.scu.AE("SCU")
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = item.maximum_number_operations_performed = 3
    assoc = ours.associate(server, [CT], ae=ae, ext_neg=[item])
    assert assoc.send_c_store(instance(1), msg_id=1).Status == 0x0000
    found = list(assoc.send_c_store_many([instance(number) for number in range(2, 8)]))
    assert [status.Status for _, status in found] == [0x0000] * 6
