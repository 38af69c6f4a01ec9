"""Negotiation items: each setter takes and refuses what pynetdicom's does."""

from __future__ import annotations

from typing import Any

import pynetdicom.pdu_primitives as theirs
import pytest

from router.api import pdu_primitives as ours

CT = "1.2.840.10008.5.1.4.1.1.2"
WINDOW = "AsynchronousOperationsWindowNegotiation"
UIDS = [CT, b"1.2.3", "1" * 65, 5, 1.5, [CT]]
SETTERS: dict[tuple[str, str], list[Any]] = {
    ("MaximumLengthNotification", "maximum_length_received"): [0, 16382, -1, "1", None, 1.5],
    ("ImplementationClassUIDNotification", "implementation_class_uid"): UIDS,
    ("ImplementationVersionNameNotification", "implementation_version_name"): ["A" * 16, "A" * 17, 5, 1.5],
    (WINDOW, "maximum_number_operations_invoked"): [
        0,
        1,
        9,
        -1,
        "1",
        None,
    ],
    (WINDOW, "maximum_number_operations_performed"): [
        0,
        1,
        9,
        -1,
        "1",
        None,
    ],
    ("SCP_SCU_RoleSelectionNegotiation", "sop_class_uid"): UIDS,
    ("SCP_SCU_RoleSelectionNegotiation", "scu_role"): [True, False, None, 1, "yes"],
    ("SCP_SCU_RoleSelectionNegotiation", "scp_role"): [True, False, None, 1, "yes"],
    ("SOPClassExtendedNegotiation", "sop_class_uid"): UIDS,
    ("SOPClassExtendedNegotiation", "service_class_application_information"): [b"\x01", None, "text", 1],
    ("SOPClassCommonExtendedNegotiation", "sop_class_uid"): UIDS,
    ("SOPClassCommonExtendedNegotiation", "service_class_uid"): UIDS,
    ("SOPClassCommonExtendedNegotiation", "related_general_sop_class_identification"): [[CT], [], CT, [5]],
    ("UserIdentityNegotiation", "user_identity_type"): [1, 2, 3, 4, 5, 0, 6, "1", None],
    ("UserIdentityNegotiation", "positive_response_requested"): [True, False, None, 1, "yes"],
    ("UserIdentityNegotiation", "primary_field"): [b"name", None, "name", 1],
    ("UserIdentityNegotiation", "secondary_field"): [b"word", None, "word", 1],
    ("UserIdentityNegotiation", "server_response"): [b"ok", None, "ok", 1],
}
CASES = [(kind, name, value) for (kind, name), values in SETTERS.items() for value in values]


def outcome(module: Any, kind: str, name: str, value: Any) -> Any:
    """Return what the attribute is afterwards, or the kind of error."""
    item = getattr(module, kind)()
    try:
        setattr(item, name, value)
    except (TypeError, ValueError) as error:
        return type(error)
    return getattr(item, name)


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=str)
def test_a_setter_does_what_pynetdicoms_does(kind: str, name: str, value: Any) -> None:
    assert outcome(ours, kind, name, value) == outcome(theirs, kind, name, value)


@pytest.mark.parametrize(("kind", "name"), SETTERS, ids=str)
def test_a_new_item_is_as_pynetdicoms(kind: str, name: str) -> None:
    assert getattr(getattr(ours, kind)(), name) == getattr(getattr(theirs, kind)(), name)


def test_items_compare_by_value() -> None:
    def role(scp: bool) -> ours.SCP_SCU_RoleSelectionNegotiation:
        item = ours.SCP_SCU_RoleSelectionNegotiation()
        item.sop_class_uid, item.scu_role, item.scp_role = CT, True, scp  # type: ignore[assignment]
        return item

    assert role(True) == role(True)
    assert role(True) != role(False)
    assert role(True) != ours.MaximumLengthNotification()


def test_an_identity_is_not_shown() -> None:
    item = ours.UserIdentityNegotiation()
    item.user_identity_type, item.primary_field, item.secondary_field = 2, b"somebody", b"secret"
    assert "secret" not in repr(item) + str(item)
    assert "somebody" not in repr(item) + str(item)


@pytest.mark.parametrize(
    ("result", "source", "reason"), [(1, 1, 7), (1, 1, 3), (2, 3, 2), (1, 2, 2), (2, 2, 1)]
)
def test_a_rejection_reads_as_pynetdicoms(result: int, source: int, reason: int) -> None:
    texts = []
    for module in (ours, theirs):
        primitive = module.A_ASSOCIATE()
        primitive.result, primitive.result_source, primitive.diagnostic = result, source, reason
        texts.append((primitive.result_str, primitive.source_str, primitive.reason_str))
    assert all(texts[0])
    assert texts[0][0] == texts[1][0]
