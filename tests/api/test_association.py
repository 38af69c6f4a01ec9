"""How associations begin and end, what their handlers see, and how long they wait."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from tests.api.conftest import Pair
from tests.support.datasets import CT, MR, VERIFICATION, instance
from tests.support.rejections import Rejections


def test_both_users_know_each_other(pair: Pair) -> None:
    server = pair.serve([VERIFICATION])
    assoc = pair.associate(server, [VERIFICATION], ae_title="CALLED", max_pdu=32768)
    assert assoc.is_requestor
    assert assoc.requestor.ae_title == "SCU"
    assert assoc.acceptor.ae_title == "CALLED"
    assert assoc.acceptor.port == server.server_address[1]
    assert assoc.requestor.maximum_length == 32768
    assert assoc.acceptor.maximum_length == 16382
    acceptor = server.active_associations[0]
    assert acceptor.is_acceptor
    assert acceptor.requestor.ae_title == "SCU"
    assert acceptor.requestor.maximum_length == 32768
    assert acceptor.requestor.port == assoc.requestor.port
    assert acceptor.remote["ae_title"] == "SCU"
    context = assoc.accepted_contexts[0]
    assert (context.context_id, context.as_scu, context.as_scp) == (1, True, False)
    assert acceptor.accepted_contexts[0].as_scp
    assert not assoc.requestor.writeable


@pytest.mark.parametrize("kind", ["called", "calling", "identity", "limit"])
def test_the_reason_of_a_rejection_is_told(pair: Pair, kind: str) -> None:
    options: dict[str, Any] = {
        "called": {"require_called_aet": True},
        "calling": {"require_calling_aet": ["OTHER"]},
        "limit": {"maximum_associations": 1},
        "identity": {},
    }[kind]
    refuse = [(pair.scp.evt.EVT_USER_ID, lambda event: (False, None))] if kind == "identity" else []
    server = pair.serve([VERIFICATION], refuse, **options)
    items = []
    if kind == "identity":
        from importlib import import_module

        identity = import_module(f"{pair.scu.__name__}.pdu_primitives").UserIdentityNegotiation()
        identity.user_identity_type = 1
        identity.primary_field = b"user"
        items.append(identity)
    if kind == "limit":
        assert pair.associate(server, [VERIFICATION]).is_established
    reason = {"called": (1, 1, 7), "calling": (1, 1, 3), "identity": (2, 2, 1), "limit": (2, 3, 2)}[kind]
    rejections = Rejections()
    assoc = pair.associate(
        server,
        [VERIFICATION],
        ae_title="WRONG",
        ext_neg=items,
        evt_handlers=[(pair.scu.evt.EVT_PDU_RECV, rejections.note)],
    )
    assert rejections.next() == reason
    assert not assoc.is_established
    if not assoc.is_rejected:
        # As requestor it now and then takes a quick rejection for a lost connection, though it has seen it.
        assert pair.scu.__name__ == "pynetdicom"
        return
    answer = assoc.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == reason
    assert answer.result_str.startswith("Rejected")
    assert answer.reason_str


def test_a_handler_may_reject_for_a_reason_of_its_own(pair: Pair) -> None:
    def handle(event: Any) -> None:
        event.assoc.acse.send_reject(0x02, 0x01, 0x01)

    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_REQUESTED, handle)])
    rejections = Rejections()
    handlers = [(pair.scu.evt.EVT_PDU_RECV, rejections.note)]
    assoc = pair.associate(server, [VERIFICATION], evt_handlers=handlers)
    assert not assoc.is_established
    if pair.scp.__name__ == "pynetdicom":
        return  # it may close the connection before its answer has left
    assert rejections.next() == (2, 1, 1)
    if pair.scu.__name__ == "router":
        assert assoc.is_rejected
        assert assoc.acceptor.primitive.result == 2


def test_a_handler_may_abort_before_negotiation(ours: Pair) -> None:
    server = ours.serve([VERIFICATION], [(ours.scp.evt.EVT_REQUESTED, lambda event: event.assoc.abort())])
    assoc = ours.associate(server, [VERIFICATION])
    assert assoc.is_aborted
    assert not assoc.is_rejected


def test_no_accepted_context_is_an_abort_by_the_requestor(pair: Pair) -> None:
    assoc = pair.associate(pair.serve([VERIFICATION]), [CT])
    assert assoc.is_aborted
    assert not assoc.is_established


def test_nobody_listening_is_an_abort(ours: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assoc = ours.associate(port, [VERIFICATION])
    assert assoc.is_aborted
    assert not assoc.is_established
    assoc.release()
    assoc.abort()


def test_a_name_without_address_raises(ours: Pair) -> None:
    ae = ours.scu.AE()
    ae.add_requested_context(VERIFICATION)
    with pytest.raises(socket.gaierror):
        ae.associate("no-such-host.invalid", 104)


def test_a_connection_that_is_never_answered_is_given_up_after_the_acse_timeout(ours: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ae = ours.scu.AE()
        ae.acse_timeout = 0.1
        assoc = ours.associate(mute.getsockname()[1], [VERIFICATION], ae=ae)
        assert assoc.is_aborted


def test_either_side_may_abort_and_the_other_notices_while_idle(pair: Pair) -> None:
    told = threading.Event()
    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_ABORTED, lambda event: told.set())])
    assoc = pair.associate(server, [VERIFICATION])
    assoc.abort()
    assert assoc.is_aborted
    assert told.wait(10)
    noticed = threading.Event()
    handlers = [(pair.scu.evt.EVT_ABORTED, lambda event: noticed.set())]
    assoc = pair.associate(server, [VERIFICATION], evt_handlers=handlers)
    [acceptor] = [a for a in server.active_associations if a.is_established]
    acceptor.abort()
    assert noticed.wait(10)
    assert assoc.is_aborted
    assert not assoc.is_established
    assoc.abort()
    assoc.release()
    assert not assoc.is_released


def test_the_acceptor_may_release(pair: Pair) -> None:
    released = threading.Event()
    server = pair.serve([VERIFICATION])
    handlers = [(pair.scu.evt.EVT_RELEASED, lambda event: released.set())]
    assoc = pair.associate(server, [VERIFICATION], evt_handlers=handlers)
    acceptor = server.active_associations[0]
    acceptor.release()
    assert acceptor.is_released
    assert released.wait(10)
    assert assoc.is_released


def test_a_lost_connection_is_an_abort_for_an_idle_association(ours: Pair) -> None:
    noticed = threading.Event()
    server = ours.serve([VERIFICATION])
    handlers = [(ours.scu.evt.EVT_ABORTED, lambda event: noticed.set())]
    assoc = ours.associate(server, [VERIFICATION], evt_handlers=handlers)
    server.active_associations[0].kill()
    assert noticed.wait(10)
    assert assoc.is_aborted


def test_both_may_release_at_once(ours: Pair) -> None:
    for _ in range(20):
        server = ours.serve([VERIFICATION])
        assoc = ours.associate(server, [VERIFICATION])
        acceptor = server.active_associations[0]
        other = threading.Thread(target=acceptor.release)
        other.start()
        assoc.release()
        other.join(10)
        assert assoc.is_released
        assert acceptor.is_released


def test_context_managers_release_and_abort_and_shut_down(ours: Pair) -> None:
    ended: list[str] = []
    gone = threading.Semaphore(0)

    def note(event: Any) -> None:
        ended.append(event.event.name)
        gone.release()

    evt = ours.scp.evt
    with ours.scp.AE() as ae:
        ae.add_supported_context(VERIFICATION)
        handlers = [(evt.EVT_RELEASED, note), (evt.EVT_ABORTED, note)]
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        with ours.associate(server, [VERIFICATION]) as assoc:
            assert assoc.send_c_echo().Status == 0
        assert assoc.is_released
        assert gone.acquire(timeout=10)
        with contextlib.suppress(RuntimeError), ours.associate(server, [VERIFICATION]) as assoc:
            raise RuntimeError("stop")
        assert assoc.is_aborted
        assert gone.acquire(timeout=10)
        left = ours.associate(server, [VERIFICATION])
    assert ended == ["EVT_RELEASED", "EVT_ABORTED", "EVT_ABORTED"] or gone.acquire(timeout=10)
    left.join(10)
    assert left.is_aborted
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(server.server_address)


def test_the_events_of_an_association_come_in_their_order(ours: Pair) -> None:
    names: dict[str, list[str]] = {"SCU": [], "SCP": []}
    closed = threading.Semaphore(0)

    def note(event: Any, side: str) -> None:
        names[side].append(event.event.name.removeprefix("EVT_"))
        if event.event.name == "EVT_CONN_CLOSE":
            closed.release()

    evt = ours.scp.evt
    quiet = ("EVT_FSM_TRANSITION", "EVT_DATA_RECV", "EVT_DATA_SENT", "EVT_PDU_RECV", "EVT_PDU_SENT")
    events = [event for event in evt._NOTIFICATION_EVENTS if event.name not in quiet]
    server = ours.serve([VERIFICATION], [(event, note, ["SCP"]) for event in events])  # type: ignore[misc]
    handlers = [(event, note, ["SCU"]) for event in events]
    assoc = ours.associate(server, [VERIFICATION], evt_handlers=handlers)
    assoc.send_c_echo()
    assoc.release()
    assert closed.acquire(timeout=10)
    assert closed.acquire(timeout=10)
    common = "ACCEPTED ESTABLISHED"
    assert (
        names["SCU"]
        == (
            f"CONN_OPEN ACSE_SENT REQUESTED ACSE_RECV {common} DIMSE_SENT DIMSE_RECV "
            "ACSE_SENT ACSE_RECV RELEASED CONN_CLOSE"
        ).split()
    )
    assert (
        names["SCP"]
        == (
            f"CONN_OPEN ACSE_RECV REQUESTED ACSE_SENT {common} DIMSE_RECV DIMSE_SENT "
            "ACSE_RECV ACSE_SENT RELEASED CONN_CLOSE"
        ).split()
    )


def test_pdus_and_messages_are_shown_to_observers(pair: Pair) -> None:
    shown: list[str] = []
    data: list[bytes] = []
    evt = pair.scu.evt

    def pdu(event: Any) -> None:
        shown.append(type(event.pdu).__name__)

    def message(event: Any) -> None:
        shown.append(f"{type(event.message).__name__} {event.message.command_set.CommandField:04X}")

    handlers = [
        (evt.EVT_PDU_SENT, pdu),
        (evt.EVT_PDU_RECV, pdu),
        (evt.EVT_DIMSE_SENT, message),
        (evt.EVT_DIMSE_RECV, message),
        (evt.EVT_DATA_RECV, lambda event: data.append(event.data)),
    ]
    assoc = pair.associate(pair.serve([VERIFICATION]), [VERIFICATION], evt_handlers=handlers)
    assoc.send_c_echo()
    assoc.release()
    pdus = ["A_ASSOCIATE_RQ", "A_ASSOCIATE_AC", "P_DATA_TF", "P_DATA_TF", "A_RELEASE_RQ", "A_RELEASE_RP"]
    assert sorted(shown) == sorted([*pdus, "C_ECHO_RQ 0030", "C_ECHO_RSP 8030"])
    assert [octets[0] for octets in data] == [2, 4, 6]
    assert all(len(octets) == 6 + int.from_bytes(octets[2:6]) for octets in data)


def test_observers_may_be_bound_and_unbound_while_it_runs(ours: Pair) -> None:
    seen: list[Any] = []
    server = ours.serve([VERIFICATION])
    assoc = ours.associate(server, [VERIFICATION])
    assoc.bind(ours.scu.evt.EVT_PDU_RECV, seen.append)
    server.bind(ours.scp.evt.EVT_C_ECHO, lambda event: 0x0110)
    assert assoc.send_c_echo().Status == 0x0110
    assert len(seen) == 1
    assoc.unbind(ours.scu.evt.EVT_PDU_RECV, seen.append)
    handler = server.get_handlers(ours.scp.evt.EVT_C_ECHO)[0]
    server.unbind(ours.scp.evt.EVT_C_ECHO, handler)
    assert assoc.send_c_echo().Status == 0x0000
    assert len(seen) == 1


def test_a_failing_notification_handler_is_logged_and_harms_nobody(
    ours: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Any) -> None:
        raise RuntimeError("no")

    seen: list[Any] = []
    evt = ours.scu.evt
    handlers = [(evt.EVT_ESTABLISHED, fail), (evt.EVT_ESTABLISHED, seen.append)]
    assoc = ours.associate(ours.serve([VERIFICATION]), [VERIFICATION], evt_handlers=handlers)
    assert assoc.is_established
    assert len(seen) == 1
    assert "Exception raised in user's 'evt.EVT_ESTABLISHED' event handler 'fail'" in caplog.text


def test_the_fsm_shows_its_transitions(ours: Pair) -> None:
    steps: list[tuple[str, str, str, str]] = []

    def note(event: Any) -> None:
        steps.append((event.current_state, event.fsm_event, event.action, event.next_state))

    handlers = [(ours.scu.evt.EVT_FSM_TRANSITION, note)]
    assoc = ours.associate(ours.serve([VERIFICATION]), [VERIFICATION], evt_handlers=handlers)
    assoc.release()
    assert steps[:3] == [
        ("Sta1", "Evt1", "AE-1", "Sta4"),
        ("Sta4", "Evt2", "AE-2", "Sta5"),
        ("Sta5", "Evt3", "AE-3", "Sta6"),
    ]
    assert ("Sta7", "Evt13", "AR-3", "Sta1") in steps


@pytest.mark.parametrize("response", ["A-ABORT", "A-RELEASE"])
def test_an_idle_association_ends_after_the_network_timeout(ours: Pair, response: str) -> None:
    assoc = ours.associate(ours.serve([VERIFICATION]), [VERIFICATION])
    assoc.network_timeout_response = response
    assoc.network_timeout = 0.1
    assoc.join(10)
    assert assoc.is_aborted is (response == "A-ABORT")
    assert assoc.is_released is (response == "A-RELEASE")
    with pytest.raises(ValueError, match="A-RELEASE"):
        assoc.network_timeout_response = "nothing"


def test_an_acceptor_is_idle_only_between_operations(ours: Pair) -> None:
    gate = threading.Event()
    ended = threading.Event()

    def handle(event: Any) -> int:
        return 0x0000 if not gate.wait(0.4) else 0x0110

    evt = ours.scp.evt
    handlers = [(evt.EVT_C_ECHO, handle), (evt.EVT_ABORTED, lambda event: ended.set())]
    server = ours.serve([VERIFICATION], handlers, network_timeout=0.15)
    assoc = ours.associate(server, [VERIFICATION])
    assert assoc.send_c_echo().Status == 0x0000
    assert ended.wait(10)


def test_an_association_may_be_used_by_several_threads(ours: Pair) -> None:
    assoc = ours.associate(ours.serve([VERIFICATION]), [VERIFICATION])
    statuses: list[int] = []

    def echo() -> None:
        statuses.extend(assoc.send_c_echo().Status for _ in range(30))

    threads = [threading.Thread(target=echo) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [0] * 150


def test_a_request_without_a_service_class_aborts(pair: Pair) -> None:
    private = "1.2.3.4.5"
    assoc = pair.associate(pair.serve([private]), [private])
    assert assoc.is_established
    dataset = instance()
    dataset.SOPClassUID = private
    assert not assoc.send_c_store(dataset)
    assoc.join(10)
    assert assoc.is_aborted


def test_unrestricted_storage_takes_what_nobody_listed(ours: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from router import _config

    monkeypatch.setattr(_config, "UNRESTRICTED_STORAGE_SERVICE", True)
    server = ours.serve([VERIFICATION], [(ours.scp.evt.EVT_C_STORE, lambda event: 0x0000)])
    private = "1.2.3.4.5"
    assoc = ours.associate(server, [MR, (private, "1.2.3.4.6"), VERIFICATION])
    assert len(assoc.accepted_contexts) == 3
    dataset = instance()
    dataset.SOPClassUID = MR
    assert assoc.send_c_store(dataset).Status == 0x0000
    assert assoc.send_c_echo().Status == 0x0000


def test_datasets_may_go_to_a_file_as_they_arrive(ours: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom import dcmread

    from router import _config

    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", True)
    seen: list[Any] = []

    def handle(event: Any) -> int:
        path = event.dataset_path
        seen.extend((path, str(dcmread(path).PatientName), str(event.dataset.PatientID), path.exists()))
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)])
    assert ours.associate(server, [CT]).send_c_store(instance(4, pixel_bytes=3_000_000)).Status == 0
    path, *rest = seen
    assert rest == ["Test^Patient", "P4", True]
    assert not path.exists()


def test_properties_of_another_request_raise_with_a_word_of_help(pair: Pair) -> None:
    errors: list[str] = []

    def handle(event: Any) -> int:
        for name in ("identifier", "action_type", "no_such_thing"):
            try:
                getattr(event, name)
            except AttributeError as error:
                errors.append(str(error))
        return 0x0000

    server = pair.serve([CT], [(pair.scp.evt.EVT_C_STORE, handle)])
    assert pair.associate(server, [CT]).send_c_store(instance()).Status == 0
    assert len(errors) == 3
    assert all(errors)


@pytest.fixture
def silent_peers() -> Iterator[list[socket.socket]]:
    peers: list[socket.socket] = []
    yield peers
    for peer in peers:
        peer.close()


def test_silent_connections_keep_no_thread_and_do_not_count(
    ours: Pair, silent_peers: list[socket.socket]
) -> None:
    from router.drivers.reactor import reactor

    server = ours.serve([VERIFICATION], maximum_associations=1)
    threads = reactor().threads
    before = threads.working
    for _ in range(40):
        silent_peers.append(socket.create_connection(server.server_address))
    assoc = ours.associate(server, [VERIFICATION])
    assert assoc.is_established
    assert assoc.send_c_echo().Status == 0
    assert len(server.active_associations) == 1
    deadline = monotonic() + 30
    while threads.working > before and monotonic() < deadline:
        threading.Event().wait(0.01)  # threads park when they have said so
    assert threads.working <= before
