"""Presentation contexts: lists and their counts, setters and what they refuse, equality; as pynetdicom's."""

from __future__ import annotations

from typing import Any

import pynetdicom
import pynetdicom.presentation as theirs
import pytest

from router.api import presentation as ours

LISTS = {
    "AllStoragePresentationContexts": 170,
    "StoragePresentationContexts": 120,
    "QueryRetrievePresentationContexts": 13,
    "VerificationPresentationContexts": 1,
    "BasicWorklistManagementPresentationContexts": 1,
    "ApplicationEventLoggingPresentationContexts": 2,
    "ColorPalettePresentationContexts": 3,
    "DefinedProcedureProtocolPresentationContexts": 3,
    "DisplaySystemPresentationContexts": 1,
    "HangingProtocolPresentationContexts": 3,
    "ImplantTemplatePresentationContexts": 9,
    "InstanceAvailabilityPresentationContexts": 1,
    "ProcedureStepPresentationContexts": 3,
    "ModalityPerformedPresentationContexts": 3,
    "ProtocolApprovalPresentationContexts": 3,
    "RelevantPatientInformationPresentationContexts": 3,
    "RTMachineVerificationPresentationContexts": 2,
    "StorageCommitmentPresentationContexts": 1,
    "SubstanceAdministrationPresentationContexts": 2,
    "UnifiedProcedurePresentationContexts": 5,
    "MediaCreationManagementPresentationContexts": 1,
    "MediaStoragePresentationContexts": 1,
    "NonPatientObjectPresentationContexts": 9,
    "PrintManagementPresentationContexts": 11,
}
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("name", LISTS)
def test_each_list_is_pynetdicoms(name: str) -> None:
    mine, other = getattr(ours, name), getattr(pynetdicom, name)
    assert len(mine) == LISTS[name]
    assert [str(c.abstract_syntax) for c in mine] == [str(c.abstract_syntax) for c in other]
    for context in mine:
        assert context.transfer_syntax == [
            IMPLICIT,
            EXPLICIT,
            "1.2.840.10008.1.2.1.99",
            "1.2.840.10008.1.2.2",
        ]
        assert context.context_id is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context_id", 0),
        ("context_id", 2),
        ("context_id", 256),
        ("context_id", -1),
        ("scu_role", 1),
        ("scp_role", "yes"),
        ("transfer_syntax", IMPLICIT),
        ("transfer_syntax", (IMPLICIT,)),
        ("abstract_syntax", 1234),
        ("abstract_syntax", "1" * 65),
    ],
)
def test_a_wrong_value_raises_what_pynetdicom_raises(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as expected:
        setattr(theirs.PresentationContext(), name, value)
    with pytest.raises(expected.type):
        setattr(ours.PresentationContext(), name, value)


@pytest.mark.parametrize("context_id", [1, 3, 255, None])
def test_a_context_id_is_odd_or_none(context_id: int | None) -> None:
    context = ours.PresentationContext()
    context.context_id = context_id
    assert context.context_id == context_id


def test_transfer_syntaxes_are_kept_once_in_order() -> None:
    context = ours.build_context(CT, [EXPLICIT, IMPLICIT, EXPLICIT])
    assert context.transfer_syntax == [EXPLICIT, IMPLICIT]
    context.add_transfer_syntax(None)
    context.add_transfer_syntax("1.2.840.10008.1.2.4.50")
    assert context.transfer_syntax[2:] == ["1.2.840.10008.1.2.4.50"]
    assert ours.build_context(CT, IMPLICIT).transfer_syntax == [IMPLICIT]


@pytest.mark.parametrize("result", [None, 0, 1, 2, 3, 4])
def test_a_result_reads_as_pynetdicoms(result: int | None) -> None:
    mine, other = ours.build_context(CT), theirs.build_context(CT)
    mine.result = other.result = result
    assert mine.status == other.status


def test_contexts_compare_by_value_and_show_their_name() -> None:
    first, second = ours.build_context(CT), ours.build_context(CT)
    assert first == second
    assert hash(first) == hash(second)
    second.context_id = 1
    assert first != second
    assert first != CT
    assert repr(first) == repr(theirs.build_context(CT)) == "CT Image Storage"


def test_a_whole_context_is_a_tuple_for_handlers() -> None:
    context = ours.build_context(CT, IMPLICIT)
    context.context_id = 5
    assert context.as_tuple == (5, CT, IMPLICIT)
    assert context.as_tuple._fields == ("context_id", "abstract_syntax", "transfer_syntax")


@pytest.mark.parametrize("roles", [(True, False), (False, True), (True, True)])
def test_a_role_item_says_what_is_proposed(roles: tuple[bool, bool]) -> None:
    item = ours.build_role(CT, *roles)
    assert (item.sop_class_uid, item.scu_role, item.scp_role) == (CT, *roles)


def test_neither_role_is_built_as_pynetdicom_builds_it() -> None:
    mine, other = ours.build_role(CT), theirs.build_role(CT)
    assert (mine.scu_role, mine.scp_role) == (other.scu_role, other.scp_role)
