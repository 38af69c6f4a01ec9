"""C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE and C-CANCEL by their API, with every pair of halves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.api.conftest import Pair
from tests.support.datasets import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    instance,
    query,
    status_with,
    write,
)


def test_echo_returns_success_without_a_handler(pair: Pair) -> None:
    assoc = pair.associate(pair.serve([VERIFICATION]), [VERIFICATION])
    assert assoc.is_established
    assert assoc.send_c_echo().Status == 0x0000
    assert assoc.send_c_echo(msg_id=65535).Status == 0x0000
    assoc.release()
    assert assoc.is_released
    assert not assoc.is_established


def test_an_echo_handler_sees_the_request_and_its_status_is_sent(pair: Pair) -> None:
    seen: list[Any] = []

    def handle(event: Any) -> int:
        seen.extend((event.message_id, event.context.context_id, str(event.context.abstract_syntax)))
        seen.append(str(event.request.AffectedSOPClassUID))
        return 0x0122

    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_C_ECHO, handle)])
    assoc = pair.associate(server, [VERIFICATION])
    assert assoc.send_c_echo(msg_id=7).Status == 0x0122
    assert seen == [7, 1, VERIFICATION, VERIFICATION]


def test_an_echo_handler_that_fails_still_succeeds(pair: Pair) -> None:
    def handle(event: Any) -> int:
        raise RuntimeError("no")

    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_C_ECHO, handle)])
    assert pair.associate(server, [VERIFICATION]).send_c_echo().Status == 0x0000


def test_store_hands_over_what_was_sent(pair: Pair) -> None:
    seen: dict[str, Any] = {}

    def handle(event: Any, extra: str) -> int:
        dataset = event.dataset
        seen["name"] = str(dataset.PatientName)
        seen["pixels"] = len(dataset.PixelData)
        seen["uid"] = str(event.request.AffectedSOPInstanceUID)
        seen["raw"] = event.request.DataSet.getvalue() == event.encoded_dataset(include_meta=False)
        seen["file"] = event.encoded_dataset()[128:132]
        seen["syntax"] = str(event.file_meta.TransferSyntaxUID)
        seen["extra"] = extra
        seen["originator"] = event.request.MoveOriginatorApplicationEntityTitle
        seen["originator_id"] = event.request.MoveOriginatorMessageID
        seen["priority"] = event.request.Priority
        return 0x0000

    server = pair.serve([CT], [(pair.scp.evt.EVT_C_STORE, handle, ["x"])])  # type: ignore[list-item]
    assoc = pair.associate(server, [CT])
    status = assoc.send_c_store(instance(5), originator_aet="MOVER", originator_id=9, priority=1)
    assert status.Status == 0x0000
    assert seen == {
        "name": "Test^Patient",
        "pixels": 2000,
        "uid": "1.2.3.5",
        "raw": True,
        "file": b"DICM",
        "syntax": IMPLICIT,
        "extra": "x",
        "originator": "MOVER",
        "originator_id": 9,
        "priority": 1,
    }


def test_store_of_a_path_sends_the_file_as_it_is(pair: Pair, tmp_path: Path) -> None:
    received: list[bytes] = []

    def handle(event: Any) -> int:
        received.append(event.request.DataSet.getvalue())
        return 0x0000

    server = pair.serve([(CT, [IMPLICIT, EXPLICIT])], [(pair.scp.evt.EVT_C_STORE, handle)])
    assoc = pair.associate(server, [(CT, EXPLICIT)])
    path = write(instance(1, EXPLICIT, 700_000), tmp_path / "ct.dcm")
    assert assoc.send_c_store(path).Status == 0x0000
    assert assoc.send_c_store(str(path)).Status == 0x0000
    content = path.read_bytes()
    assert content.endswith(received[0])
    assert received[0] == received[1]


def test_a_large_file_is_streamed_in_pieces(ours: Pair, tmp_path: Path) -> None:
    received: list[bytes] = []

    def handle(event: Any) -> int:
        received.append(event.request.DataSet.getvalue())
        return 0x0000

    assoc = ours.associate(ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)]), [(CT, IMPLICIT)])
    path = write(instance(1, IMPLICIT, 9_000_000), tmp_path / "ct.dcm")
    assert assoc.send_c_store(path).Status == 0x0000
    assert path.read_bytes().endswith(received[0])
    assert len(received[0]) > 9_000_000


@pytest.mark.parametrize("own", [IMPLICIT, EXPLICIT, DEFLATED])
@pytest.mark.parametrize("accepted", [IMPLICIT, EXPLICIT, DEFLATED])
@pytest.mark.parametrize("as_path", [False, True])
def test_native_little_endian_is_encoded_anew(
    ours: Pair, own: str, accepted: str, as_path: bool, tmp_path: Path
) -> None:
    names: list[str] = []

    def handle(event: Any) -> int:
        names.append(str(event.dataset.PatientName))
        return 0x0000

    server = ours.serve([(CT, [accepted])], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [(CT, [accepted])])
    path = write(instance(1, own), tmp_path / "ct.dcm")
    what = path if as_path else dcmread(path)
    assert assoc.send_c_store(what).Status == 0x0000
    assert names == ["Test^Patient"]


@pytest.mark.parametrize("own", [BIG_ENDIAN, JPEG])
def test_no_context_for_what_cannot_be_converted(pair: Pair, own: str) -> None:
    assoc = pair.associate(pair.serve([CT]), [(CT, [IMPLICIT, EXPLICIT])])
    dataset = instance(1, own)
    with pytest.raises(ValueError, match="No presentation context"):
        assoc.send_c_store(dataset)


def test_store_of_an_unaccepted_class_raises(pair: Pair) -> None:
    assoc = pair.associate(pair.serve([CT]), [CT, MR])
    assert [str(c.abstract_syntax) for c in assoc.rejected_contexts] == [MR]
    dataset = instance()
    dataset.SOPClassUID = MR
    with pytest.raises(ValueError, match="No presentation context"):
        assoc.send_c_store(dataset)


@pytest.mark.parametrize("missing", ["SOPClassUID", "SOPInstanceUID", "TransferSyntaxUID"])
def test_store_without_a_uid_raises(pair: Pair, missing: str, tmp_path: Path) -> None:
    assoc = pair.associate(pair.serve([CT]), [CT])
    dataset = instance()
    del (dataset.file_meta if missing == "TransferSyntaxUID" else dataset)[missing]
    with pytest.raises(AttributeError):
        assoc.send_c_store(dataset)


def test_store_of_a_dataset_in_the_other_byte_order_raises(ours: Pair, tmp_path: Path) -> None:
    assoc = ours.associate(ours.serve([CT]), [CT])
    dataset = dcmread(write(instance(1, IMPLICIT), tmp_path / "ct.dcm"))
    dataset.file_meta.TransferSyntaxUID = BIG_ENDIAN
    with pytest.raises(AttributeError):
        assoc.send_c_store(dataset)


def test_store_of_a_dataset_with_the_other_vr_encoding_uses_its_own(pair: Pair, tmp_path: Path) -> None:
    syntaxes: list[str] = []

    def handle(event: Any) -> int:
        syntaxes.append(str(event.context.transfer_syntax))
        return 0x0000

    server = pair.serve([(CT, [IMPLICIT])], [(pair.scp.evt.EVT_C_STORE, handle)])
    assoc = pair.associate(server, [(CT, [IMPLICIT])])
    dataset = dcmread(write(instance(1, IMPLICIT), tmp_path / "ct.dcm"))
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    assert assoc.send_c_store(dataset).Status == 0x0000
    assert syntaxes == [IMPLICIT]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0xA700, 0xA700),
        (0xB000, 0xB000),
        (0x1234, 0x1234),
        (status_with(Status=0xC123), 0xC123),
        (status_with(PatientName="x"), 0xC001),
        ("text", 0xC002),
        (None, 0xC002),
    ],
)
def test_what_a_store_handler_returns_is_the_status(pair: Pair, value: Any, expected: int) -> None:
    server = pair.serve([CT], [(pair.scp.evt.EVT_C_STORE, lambda event: value)])
    assert pair.associate(server, [CT]).send_c_store(instance()).Status == expected


def test_a_status_dataset_brings_its_comment(pair: Pair) -> None:
    value = status_with(Status=0xA900, ErrorComment="wrong", OffendingElement=[0x00100010], PatientName="x")
    server = pair.serve([CT], [(pair.scp.evt.EVT_C_STORE, lambda event: value)])
    status = pair.associate(server, [CT]).send_c_store(instance())
    assert status.Status == 0xA900
    assert status.ErrorComment == "wrong"
    assert status.OffendingElement == 0x00100010
    assert "PatientName" not in status


def test_store_without_a_handler_or_with_a_failing_one_is_answered_c211(pair: Pair) -> None:
    def fail(event: Any) -> int:
        raise RuntimeError("no")

    assert pair.associate(pair.serve([CT]), [CT]).send_c_store(instance()).Status == 0xC211
    server = pair.serve([CT], [(pair.scp.evt.EVT_C_STORE, fail)])
    assert pair.associate(server, [CT]).send_c_store(instance()).Status == 0xC211


def test_an_undecodable_dataset_raises_only_where_it_is_looked_at(pair: Pair) -> None:
    def handle(event: Any) -> int:
        try:
            str(event.dataset)
        except Exception:
            return 0x0210
        return 0x0000

    server = pair.serve([(CT, EXPLICIT)], [(pair.scp.evt.EVT_C_STORE, handle)])
    assoc = pair.associate(server, [(CT, EXPLICIT)])
    dataset = instance(1, EXPLICIT)
    dataset.add_new(0x00100020, "LO", "x")
    assert assoc.send_c_store(dataset).Status == 0x0000


def test_find_yields_matches_and_then_success(pair: Pair) -> None:
    seen: list[str] = []

    def handle(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        seen.append(str(event.identifier.PatientID))
        for number in range(3):
            yield (0xFF00 if number else 0xFF01), query(PatientName=f"Match^{number}")

    server = pair.serve([STUDY_FIND], [(pair.scp.evt.EVT_C_FIND, handle)])
    assoc = pair.associate(server, [STUDY_FIND])
    responses = list(assoc.send_c_find(query(PatientID="P1", PatientName=""), STUDY_FIND))
    assert [status.Status for status, _ in responses] == [0xFF01, 0xFF00, 0xFF00, 0x0000]
    names = [str(identifier.PatientName) for _, identifier in responses if identifier is not None]
    assert names == ["Match^0", "Match^1", "Match^2"]
    assert responses[-1][1] is None
    assert seen == ["P1"]


def test_the_request_of_a_find_is_out_before_the_first_next(pair: Pair) -> None:
    asked = threading.Event()

    def handle(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked.set()
        yield 0xFF00, query(PatientName="A")

    server = pair.serve([STUDY_FIND], [(pair.scp.evt.EVT_C_FIND, handle)])
    responses = pair.associate(server, [STUDY_FIND]).send_c_find(query(PatientID="*"), STUDY_FIND)
    assert asked.wait(10)
    assert [status.Status for status, _ in responses] == [0xFF00, 0x0000]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("nothing", [0x0000]), ("failure", [0xFF00, 0xA700]), ("raises", [0xFF00, 0xC311]), ("final", [0x0000])],
)
def test_how_a_find_handler_may_end(pair: Pair, kind: str, expected: list[int]) -> None:
    def handle(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if kind in ("failure", "raises"):
            yield 0xFF00, query(PatientName="A")
        if kind == "failure":
            yield 0xA700, None
        elif kind == "raises":
            raise RuntimeError("no")
        elif kind == "final":
            yield 0x0000, None

    server = pair.serve([STUDY_FIND], [(pair.scp.evt.EVT_C_FIND, handle)])
    responses = pair.associate(server, [STUDY_FIND]).send_c_find(query(PatientID="*"), STUDY_FIND)
    assert [status.Status for status, _ in responses] == expected


def test_find_without_a_handler_is_answered_c311(pair: Pair) -> None:
    assoc = pair.associate(pair.serve([STUDY_FIND]), [STUDY_FIND])
    assert [s.Status for s, _ in assoc.send_c_find(query(PatientID="*"), STUDY_FIND)] == [0xC311]


def test_a_cancelled_find_ends_with_fe00(pair: Pair) -> None:
    def handle(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        for number in range(100_000):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, query(PatientName=f"Match^{number}")

    server = pair.serve([STUDY_FIND], [(pair.scp.evt.EVT_C_FIND, handle)])
    assoc = pair.associate(server, [STUDY_FIND])
    statuses = []
    for number, (status, _) in enumerate(assoc.send_c_find(query(PatientID="*"), STUDY_FIND, msg_id=3)):
        statuses.append(status.Status)
        if number == 2:
            assoc.send_c_cancel(3, query_model=STUDY_FIND)
    assert statuses[-1] == 0xFE00
    assert len(statuses) < 100_000


def test_leaving_a_find_early_does_not_disturb_what_follows(ours: Pair) -> None:
    ended = threading.Event()

    def handle(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        try:
            for number in range(1_000_000):
                yield 0xFF00, query(PatientName=f"Match^{number}")
        finally:
            ended.set()

    server = ours.serve([STUDY_FIND, VERIFICATION], [(ours.scp.evt.EVT_C_FIND, handle)])
    assoc = ours.associate(server, [STUDY_FIND, VERIFICATION])
    for status, _ in assoc.send_c_find(query(PatientID="*"), STUDY_FIND):
        assert status.Status == 0xFF00
        break
    assert assoc.send_c_echo().Status == 0x0000
    assert ended.wait(10), "the peer was not asked to stop"
    assert assoc.is_established


def test_a_slow_reader_of_many_matches_holds_the_peer_back(ours: Pair) -> None:
    produced: list[int] = []

    def handle(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        for number in range(6000):
            produced.append(number)
            yield 0xFF00, query(PatientName="Match^" + "x" * 50)

    server = ours.serve([STUDY_FIND], [(ours.scp.evt.EVT_C_FIND, handle)])
    responses = ours.associate(server, [STUDY_FIND]).send_c_find(query(PatientID="*"), STUDY_FIND)
    assert sum(status.Status == 0xFF00 for status, _ in responses) == 6000


def storing(pair: Pair, received: list[str]) -> tuple[Any, Any]:
    def handle(event: Any) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        return 0xA700 if received[-1].endswith(".2") else 0x0000

    return pair.scu.evt.EVT_C_STORE, handle


def test_get_stores_over_the_same_association(pair: Pair) -> None:
    def handle(event: Any) -> Iterator[Any]:
        yield 3
        for number in (1, 2, 3):
            yield 0xFF00, instance(number)

    received: list[str] = []
    server = pair.serve([STUDY_GET, (CT, None, False, True)], [(pair.scp.evt.EVT_C_GET, handle)])
    roles = [pair.scu.build_role(CT, scp_role=True)]
    handlers = [storing(pair, received)]
    assoc = pair.associate(server, [STUDY_GET, CT], ext_neg=roles, evt_handlers=handlers)
    responses = list(assoc.send_c_get(query(PatientID="*"), STUDY_GET))
    assert [status.Status for status, _ in responses] == [0xFF00, 0xFF00, 0xFF00, 0xB000]
    assert received == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    last = responses[-1][0]
    assert last.NumberOfCompletedSuboperations == 2
    assert last.NumberOfFailedSuboperations == 1
    assert responses[-1][1].FailedSOPInstanceUIDList == "1.2.3.2"


def test_get_without_the_role_fails_every_sub_operation(pair: Pair) -> None:
    def handle(event: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, instance(1)

    server = pair.serve([STUDY_GET, CT], [(pair.scp.evt.EVT_C_GET, handle)])
    assoc = pair.associate(server, [STUDY_GET, CT])
    responses = list(assoc.send_c_get(query(PatientID="*"), STUDY_GET))
    assert responses[-1][0].Status == 0xA702


@pytest.mark.parametrize(("first", "expected"), [("x", 0xC413), (70_000, 0xC416), (0, 0x0000)])
def test_a_bad_number_of_sub_operations_is_answered(pair: Pair, first: Any, expected: int) -> None:
    def handle(event: Any) -> Iterator[Any]:
        yield first

    server = pair.serve([STUDY_GET], [(pair.scp.evt.EVT_C_GET, handle)])
    responses = pair.associate(server, [STUDY_GET]).send_c_get(query(PatientID="*"), STUDY_GET)
    assert [status.Status for status, _ in responses] == [expected]


def test_move_stores_at_the_destination(pair: Pair) -> None:
    received: list[tuple[str, str, int]] = []

    def take(event: Any) -> int:
        request = event.request
        received.append(
            (
                str(request.AffectedSOPInstanceUID),
                request.MoveOriginatorApplicationEntityTitle,
                request.MoveOriginatorMessageID,
            )
        )
        return 0x0000

    destination = pair.serve([CT], [(pair.scp.evt.EVT_C_STORE, take)])
    port = destination.server_address[1]

    def handle(event: Any) -> Iterator[Any]:
        assert event.move_destination == "DEST"
        yield "127.0.0.1", port, {"contexts": [pair.scp.build_context(CT)]}
        yield 2
        yield 0xFF00, instance(1)
        yield 0xFF00, instance(2)

    server = pair.serve([STUDY_MOVE], [(pair.scp.evt.EVT_C_MOVE, handle)])
    assoc = pair.associate(server, [STUDY_MOVE])
    responses = list(assoc.send_c_move(query(PatientID="*"), "DEST", STUDY_MOVE, msg_id=11))
    assert [status.Status for status, _ in responses] == [0xFF00, 0xFF00, 0x0000]
    assert responses[0][0].NumberOfRemainingSuboperations == 1
    assert responses[-1][0].NumberOfCompletedSuboperations == 2
    assert received == [("1.2.3.1", "SCP", 11), ("1.2.3.2", "SCP", 11)]


@pytest.mark.parametrize(
    ("yields", "expected"),
    [
        ([(None, None)], 0xA801),
        ([("127.0.0.1", 1, {"contexts": "CT"}), 1], 0xA801),
        (["x"], 0xC515),
        ([("127.0.0.1", 11112), "x"], 0xC513),
        ([("127.0.0.1", 11112), 70_000], 0xC516),
    ],
)
def test_what_may_go_wrong_with_a_move_destination(pair: Pair, yields: list[Any], expected: int) -> None:
    def handle(event: Any) -> Iterator[Any]:
        for item in yields:
            if isinstance(item, tuple) and len(item) == 3:
                yield item[0], item[1], {"contexts": [pair.scp.build_context(CT)]}
            else:
                yield item

    server = pair.serve([STUDY_MOVE], [(pair.scp.evt.EVT_C_MOVE, handle)])
    responses = pair.associate(server, [STUDY_MOVE]).send_c_move(query(PatientID="*"), "DEST", STUDY_MOVE)
    assert [status.Status for status, _ in responses] == [expected]


def test_cancel_needs_to_know_the_context(pair: Pair) -> None:
    assoc = pair.associate(pair.serve([VERIFICATION]), [VERIFICATION])
    with pytest.raises(ValueError, match="context_id"):
        assoc.send_c_cancel(1)


def test_verbs_of_an_association_that_has_ended_raise(pair: Pair) -> None:
    assoc = pair.associate(pair.serve([VERIFICATION, CT, STUDY_FIND]), [VERIFICATION, CT, STUDY_FIND])
    assoc.release()
    for verb in (
        assoc.send_c_echo,
        lambda: assoc.send_c_store(instance()),
        lambda: assoc.send_c_find(query(), STUDY_FIND),
        lambda: assoc.send_c_cancel(1, 1),
    ):
        with pytest.raises(RuntimeError):
            verb()


def test_a_peer_that_aborts_gives_an_empty_status(pair: Pair) -> None:
    def handle(event: Any) -> int:
        event.assoc.abort()
        return 0x0000

    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_C_ECHO, handle)])
    assoc = pair.associate(server, [VERIFICATION])
    status = assoc.send_c_echo()
    assert not status
    assert "Status" not in status
    assoc.join(10)
    assert assoc.is_aborted


def test_a_dimse_timeout_gives_an_empty_status_and_aborts(pair: Pair) -> None:
    gate = threading.Event()

    def handle(event: Any) -> int:
        gate.wait(10)
        return 0x0000

    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_C_ECHO, handle)])
    assoc = pair.associate(server, [VERIFICATION])
    assoc.dimse_timeout = 0.1
    assert not assoc.send_c_echo()
    assert assoc.is_aborted
    gate.set()
