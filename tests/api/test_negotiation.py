"""What is negotiated: contexts, roles, identities, windows, extended items, with every pair of halves."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from tests.api.conftest import Pair
from tests.support.datasets import BIG_ENDIAN, CT, EXPLICIT, IMPLICIT, MR, VERIFICATION


def primitives(side: Any) -> Any:
    return import_module(f"{side.__name__}.pdu_primitives")


def test_the_acceptors_first_common_transfer_syntax_is_taken(pair: Pair) -> None:
    server = pair.serve([(CT, [BIG_ENDIAN, EXPLICIT, IMPLICIT])])
    assoc = pair.associate(server, [(CT, [IMPLICIT, EXPLICIT])])
    assert [str(uid) for uid in assoc.accepted_contexts[0].transfer_syntax] == [EXPLICIT]


def test_refused_contexts_say_why(pair: Pair) -> None:
    server = pair.serve([VERIFICATION, (CT, [EXPLICIT])])
    assoc = pair.associate(server, [VERIFICATION, (CT, [IMPLICIT]), MR])
    assert [(c.context_id, c.result) for c in assoc.rejected_contexts] == [(3, 4), (5, 3)]
    assert [c.context_id for c in assoc.accepted_contexts] == [1]
    assert assoc.rejected_contexts[0].status == "Transfer Syntax(es) Not Supported"


@pytest.mark.parametrize("proposed", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("allowed", [(None, None), (True, True), (True, False), (False, True)])
def test_roles_hold_if_they_are_proposed_and_allowed(
    pair: Pair, proposed: tuple[bool, bool], allowed: tuple[bool | None, bool | None]
) -> None:
    server = pair.serve([VERIFICATION, (CT, None, *allowed)])
    role = pair.scu.build_role(CT, scu_role=proposed[0], scp_role=proposed[1])
    assoc = pair.associate(server, [VERIFICATION, CT], ext_neg=[role])
    contexts = {str(c.abstract_syntax): c for c in assoc.accepted_contexts}
    if allowed == (None, None):
        expected: tuple[bool, bool] | None = (True, False)
    else:
        expected = (proposed[0] and bool(allowed[0]), proposed[1] and bool(allowed[1]))
    if expected == (False, False):
        assert CT not in contexts
        assert assoc.rejected_contexts[0].result == 1
        return
    assert (contexts[CT].as_scu, contexts[CT].as_scp) == expected
    [acceptor] = server.active_associations
    mirrored = {str(c.abstract_syntax): c for c in acceptor.accepted_contexts}[CT]
    assert (mirrored.as_scp, mirrored.as_scu) == expected


@pytest.mark.parametrize("requested", [False, True])
def test_a_user_identity_is_shown_and_answered(pair: Pair, requested: bool) -> None:
    seen: list[Any] = []

    def handle(event: Any) -> tuple[bool, bytes]:
        seen.append((event.user_id_type, event.primary_field, event.secondary_field))
        return True, b"ticket"

    identity = primitives(pair.scu).UserIdentityNegotiation()
    identity.user_identity_type = 3
    identity.primary_field = b"kerberos"
    identity.positive_response_requested = requested
    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_USER_ID, handle)])
    assoc = pair.associate(server, [VERIFICATION], ext_neg=[identity])
    assert assoc.is_established
    assert [(kind, primary) for kind, primary, _ in seen] == [(3, b"kerberos")]
    answer = assoc.acceptor.user_identity
    assert (answer.server_response if requested else answer) == (b"ticket" if requested else None)


def test_a_failing_identity_handler_rejects(pair: Pair) -> None:
    def handle(event: Any) -> tuple[bool, bytes]:
        raise RuntimeError("no")

    identity = primitives(pair.scu).UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = b"user"
    identity.secondary_field = b"word"
    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_USER_ID, handle)])
    assoc = pair.associate(server, [VERIFICATION], ext_neg=[identity])
    assert assoc.is_rejected or pair.scu.__name__ == "pynetdicom"  # which may miss a quick rejection
    assert not assoc.is_established


def test_sop_class_extended_items_are_shown_and_answered(pair: Pair) -> None:
    seen: list[dict[str, bytes]] = []

    def handle(event: Any) -> dict[str, bytes]:
        seen.append({str(uid): info for uid, info in event.app_info.items()})
        return {CT: b"\x01"}

    item = primitives(pair.scu).SOPClassExtendedNegotiation()
    item.sop_class_uid = CT
    item.service_class_application_information = b"\x02\x03"
    server = pair.serve([CT], [(pair.scp.evt.EVT_SOP_EXTENDED, handle)])
    assoc = pair.associate(server, [CT], ext_neg=[item])
    assert seen == [{CT: b"\x02\x03"}]
    assert assoc.acceptor.sop_class_extended == {CT: b"\x01"}


def test_common_extended_items_decide_over_the_service_class(pair: Pair) -> None:
    private = "1.2.3.4.5"
    seen: list[str] = []

    def common(event: Any) -> Any:
        seen.extend(str(uid) for uid in event.items)
        return event.items

    item = primitives(pair.scu).SOPClassCommonExtendedNegotiation()
    item.sop_class_uid = private
    item.service_class_uid = "1.2.840.10008.4.2"
    evt = pair.scp.evt
    handlers = [(evt.EVT_SOP_COMMON, common), (evt.EVT_C_STORE, lambda event: 0x0000)]
    server = pair.serve([private], handlers)
    assoc = pair.associate(server, [private], ext_neg=[item])
    assert seen == [private]
    from tests.support.datasets import instance

    dataset = instance()
    dataset.SOPClassUID = private
    assert assoc.send_c_store(dataset).Status == 0x0000
    assert list(server.active_associations[0].acceptor.accepted_common_extended) == [private]


def test_an_asynchronous_window_is_proposed_and_without_a_handler_not_answered(pair: Pair) -> None:
    item = primitives(pair.scu).AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = 5
    server = pair.serve([VERIFICATION])
    assoc = pair.associate(server, [VERIFICATION], ext_neg=[item])
    assert assoc.acceptor.asynchronous_operations == (1, 1)
    assert server.active_associations[0].requestor.asynchronous_operations == (5, 1)


def test_a_handler_may_grant_an_asynchronous_window(ours: Pair) -> None:
    seen: list[tuple[int, int]] = []

    def handle(event: Any) -> tuple[int, int]:
        seen.append((event.nr_invoked, event.nr_performed))
        return 3, 1

    item = primitives(ours.scu).AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = 5
    server = ours.serve([VERIFICATION], [(ours.scp.evt.EVT_ASYNC_OPS, handle)])
    assoc = ours.associate(server, [VERIFICATION], ext_neg=[item])
    assert seen == [(5, 1)]
    assert assoc.acceptor.asynchronous_operations == (3, 1)


def test_implementation_and_maximum_length_are_told(pair: Pair) -> None:
    server = pair.serve([VERIFICATION], maximum_pdu_size=0, implementation_version_name="MY_SCP")
    assoc = pair.associate(server, [VERIFICATION], max_pdu=0)
    assert assoc.acceptor.maximum_length == 0
    assert assoc.acceptor.implementation_version_name == "MY_SCP"
    assert server.active_associations[0].requestor.maximum_length == 0


def test_a_peer_that_exceeds_our_maximum_length_is_aborted(ours: Pair) -> None:
    from tests.support.datasets import instance

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, lambda event: 0)], maximum_pdu_size=4096)
    assoc = ours.associate(server, [CT])
    assert assoc.send_c_store(instance(1)).Status == 0
    assoc._protocol.peer_maximum_length = 8192
    assert not assoc.send_c_store(instance(2, pixel_bytes=20_000))
    assert assoc.is_aborted
