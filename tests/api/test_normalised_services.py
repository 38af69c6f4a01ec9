"""The six N-services by their API, with every pair of halves."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.api.conftest import Pair
from tests.support.datasets import status_with

FILM_SESSION = "1.2.840.10008.5.1.1.1"
PRINT_META = "1.2.840.10008.5.1.1.9"
MPPS = "1.2.840.10008.3.1.2.3.3"
UPS_PUSH, UPS_PULL = "1.2.840.10008.5.1.4.34.6.1", "1.2.840.10008.5.1.4.34.6.3"
INSTANCE = "1.2.3.4"


def named(name: str) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = name
    return dataset


def test_action_brings_type_and_information_and_returns_the_reply(pair: Pair) -> None:
    seen: list[Any] = []

    def handle(event: Any) -> tuple[int, Dataset]:
        seen.extend((event.action_type, str(event.action_information.PatientName)))
        seen.append(str(event.request.RequestedSOPInstanceUID))
        return 0x0000, named("Reply")

    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_ACTION, handle)])
    assoc = pair.associate(server, [FILM_SESSION])
    status, reply = assoc.send_n_action(named("Ask"), 3, FILM_SESSION, INSTANCE)
    assert status.Status == 0x0000
    assert reply.PatientName == "Reply"
    assert seen == [3, "Ask", INSTANCE]


def test_action_without_information_is_an_empty_dataset(pair: Pair) -> None:
    seen: list[int] = []

    def handle(event: Any) -> tuple[int, None]:
        seen.append(len(event.action_information))
        return 0x0000, None

    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_ACTION, handle)])
    status, reply = pair.associate(server, [FILM_SESSION]).send_n_action(None, 1, FILM_SESSION, INSTANCE)
    assert status.Status == 0x0000
    assert reply == Dataset()
    assert seen == [0]


def test_get_names_the_attributes_it_wants(pair: Pair) -> None:
    seen: list[Any] = []

    def handle(event: Any) -> tuple[int, Dataset]:
        seen.append([int(tag) for tag in event.attribute_identifiers])
        return 0x0107, named("Got")

    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_GET, handle)])
    assoc = pair.associate(server, [FILM_SESSION])
    status, attributes = assoc.send_n_get([(0x0010, 0x0010), 0x00100020], FILM_SESSION, INSTANCE)
    assert status.Status == 0x0107
    assert attributes.PatientName == "Got"
    status, attributes = assoc.send_n_get([0x00100010], FILM_SESSION, INSTANCE)
    status, attributes = assoc.send_n_get([], FILM_SESSION, INSTANCE)
    assert seen == [[0x00100010, 0x00100020], [0x00100010], []]


def test_set_brings_its_modifications(pair: Pair) -> None:
    def handle(event: Any) -> tuple[Any, Dataset]:
        assert str(event.modification_list.PatientName) == "New"
        return status_with(Status=0x0116, ErrorComment="range"), named("Set")

    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_SET, handle)])
    status, attributes = pair.associate(server, [FILM_SESSION]).send_n_set(
        named("New"), FILM_SESSION, INSTANCE
    )
    assert status.Status == 0x0116
    assert status.ErrorComment == "range"
    assert attributes.PatientName == "Set"


def test_create_with_and_without_an_instance_uid(pair: Pair) -> None:
    def handle(event: Any) -> tuple[int, Dataset]:
        created = named("Created")
        if event.request.AffectedSOPInstanceUID is None:
            created.AffectedSOPInstanceUID = "1.2.3.99"
        return 0x0000, created

    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_CREATE, handle)])
    assoc = pair.associate(server, [FILM_SESSION])
    status, attributes = assoc.send_n_create(named("A"), FILM_SESSION, INSTANCE)
    assert (status.Status, attributes.PatientName) == (0x0000, "Created")
    status, attributes = assoc.send_n_create(None, FILM_SESSION)
    assert status.Status == 0x0000
    assert "AffectedSOPInstanceUID" not in attributes


def test_create_without_any_instance_uid_fails(pair: Pair) -> None:
    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_CREATE, lambda event: (0x0000, named("A")))])
    status, attributes = pair.associate(server, [FILM_SESSION]).send_n_create(None, FILM_SESSION)
    assert status.Status == 0x0110
    assert attributes is None


def test_delete_returns_the_status_alone(pair: Pair) -> None:
    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_DELETE, lambda event: 0x0112)])
    assert pair.associate(server, [FILM_SESSION]).send_n_delete(FILM_SESSION, INSTANCE).Status == 0x0112


def test_an_event_report_goes_from_scp_to_scu_while_the_scu_is_idle(pair: Pair) -> None:
    seen: list[Any] = []

    def handle(event: Any) -> tuple[int, Dataset]:
        seen.extend((event.event_type, str(event.event_information.PatientName)))
        return 0x0000, named("Thanks")

    server = pair.serve([MPPS])
    assoc = pair.associate(server, [MPPS], evt_handlers=[(pair.scu.evt.EVT_N_EVENT_REPORT, handle)])
    assert assoc.is_established
    acceptor = server.active_associations[0]
    status, reply = acceptor.send_n_event_report(named("News"), 2, MPPS, INSTANCE)
    assert status.Status == 0x0000
    assert reply.PatientName == "Thanks"
    assert seen == [2, "News"]


def send_each(assoc: Any) -> list[tuple[Any, Any]]:
    return [
        assoc.send_n_get([0x00100010], FILM_SESSION, INSTANCE),
        assoc.send_n_set(named("A"), FILM_SESSION, INSTANCE),
        assoc.send_n_action(named("A"), 1, FILM_SESSION, INSTANCE),
        assoc.send_n_create(named("A"), FILM_SESSION, INSTANCE),
        (assoc.send_n_delete(FILM_SESSION, INSTANCE), None),
    ]


def test_without_handlers_each_is_answered_0110(pair: Pair) -> None:
    assoc = pair.associate(pair.serve([FILM_SESSION]), [FILM_SESSION])
    assert [(status.Status, dataset) for status, dataset in send_each(assoc)] == [(0x0110, None)] * 5


def test_with_failing_handlers_each_is_answered_0110(pair: Pair) -> None:
    def fail(event: Any) -> Any:
        raise RuntimeError("no")

    evt = pair.scp.evt
    events = (evt.EVT_N_GET, evt.EVT_N_SET, evt.EVT_N_ACTION, evt.EVT_N_CREATE, evt.EVT_N_DELETE)
    server = pair.serve([FILM_SESSION], [(event, fail) for event in events])
    assoc = pair.associate(server, [FILM_SESSION])
    assert [(status.Status, dataset) for status, dataset in send_each(assoc)] == [(0x0110, None)] * 5


@pytest.mark.parametrize(("value", "expected"), [(status_with(PatientName="x"), 0xC001), ("x", 0xC002)])
def test_bad_statuses_are_replaced(pair: Pair, value: Any, expected: int) -> None:
    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_GET, lambda event: (value, None))])
    status, _ = pair.associate(server, [FILM_SESSION]).send_n_get([0x00100010], FILM_SESSION, INSTANCE)
    assert status.Status == expected


def test_a_meta_sop_class_lends_its_context(pair: Pair) -> None:
    server = pair.serve([PRINT_META], [(pair.scp.evt.EVT_N_CREATE, lambda event: (0x0000, None))])
    assoc = pair.associate(server, [PRINT_META])
    with pytest.raises(ValueError, match="No presentation context"):
        assoc.send_n_create(named("A"), FILM_SESSION, INSTANCE)
    status, _ = assoc.send_n_create(named("A"), FILM_SESSION, INSTANCE, meta_uid=PRINT_META)
    assert status.Status == 0x0000


def test_a_ups_request_falls_back_to_another_context_of_the_service(pair: Pair) -> None:
    server = pair.serve([UPS_PULL], [(pair.scp.evt.EVT_N_ACTION, lambda event: (0x0000, None))])
    status, _ = pair.associate(server, [UPS_PULL]).send_n_action(None, 1, UPS_PUSH, INSTANCE)
    assert status.Status == 0x0000


def test_an_aborting_peer_gives_empty_status_and_none(pair: Pair) -> None:
    def handle(event: Any) -> tuple[int, None]:
        event.assoc.abort()
        return 0x0000, None

    server = pair.serve([FILM_SESSION], [(pair.scp.evt.EVT_N_GET, handle)])
    status, attributes = pair.associate(server, [FILM_SESSION]).send_n_get(
        [0x00100010], FILM_SESSION, INSTANCE
    )
    assert not status
    assert attributes is None
