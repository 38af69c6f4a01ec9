"""Statuses: classes by number, and the tables of each service."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pynetdicom import status as theirs

from router.standard import statuses
from router.standard.status_tables import TABLES
from router.standard.statuses import StatusClass, describe_status, status_class, status_table

THEIR_TABLES = {
    "application-event-logging": theirs.APPLICATION_EVENT_LOGGING_SERVICE_CLASS_STATUS,
    "general": theirs.GENERAL_STATUS,
    "media-creation-management": theirs.MEDIA_CREATION_MANAGEMENT_SERVICE_CLASS_STATUS,
    "non-patient-object-storage": theirs.NON_PATIENT_SERVICE_CLASS_STATUS,
    "print-management": theirs.PRINT_JOB_MANAGEMENT_SERVICE_CLASS_STATUS,
    "procedure-step": theirs.PROCEDURE_STEP_STATUS,
    "query-retrieve-find": theirs.QR_FIND_SERVICE_CLASS_STATUS,
    "query-retrieve-get": theirs.QR_GET_SERVICE_CLASS_STATUS,
    "query-retrieve-move": theirs.QR_MOVE_SERVICE_CLASS_STATUS,
    "relevant-patient-information-query": theirs.RELEVANT_PATIENT_SERVICE_CLASS_STATUS,
    "rt-machine-verification": theirs.RT_MACHINE_VERIFICATION_SERVICE_CLASS_STATUS,
    "storage": theirs.STORAGE_SERVICE_CLASS_STATUS,
    "storage-commitment": theirs.STORAGE_COMMITMENT_SERVICE_CLASS_STATUS,
    "storage-management": theirs.STORAGE_MANAGEMENT_SERVICE_CLASS_STATUS,
    "substance-administration-query": theirs.SUBSTANCE_ADMINISTRATION_SERVICE_CLASS_STATUS,
    "unified-procedure-step": theirs.UNIFIED_PROCEDURE_STEP_SERVICE_CLASS_STATUS,
    "verification": theirs.VERIFICATION_SERVICE_CLASS_STATUS,
    "worklist": theirs.MODALITY_WORKLIST_SERVICE_CLASS_STATUS,
}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x0000, StatusClass.SUCCESS),
        (0x0001, StatusClass.WARNING),
        (0x0107, StatusClass.WARNING),
        (0x0116, StatusClass.WARNING),
        (0xB000, StatusClass.WARNING),
        (0xBFFF, StatusClass.WARNING),
        (0xFF00, StatusClass.PENDING),
        (0xFF01, StatusClass.PENDING),
        (0xFE00, StatusClass.CANCEL),
        (0x0110, StatusClass.FAILURE),
        (0x0122, StatusClass.FAILURE),
        (0x0213, StatusClass.FAILURE),
        (0xA700, StatusClass.FAILURE),
        (0xAFFF, StatusClass.FAILURE),
        (0xC000, StatusClass.FAILURE),
        (0xCFFF, StatusClass.FAILURE),
    ],
)
def test_classes_follow_annex_c(code: int, expected: StatusClass) -> None:
    assert status_class(code) is expected


@pytest.mark.parametrize("code", [0x0002, 0x0300, 0x1000, 0x9FFF, 0xD000, 0xFF02, 0xFFFF])
def test_a_code_that_nobody_defined_is_a_failure(code: int) -> None:
    assert status_class(code) is StatusClass.FAILURE


def test_classes_agree_with_pynetdicom_wherever_it_knows_one() -> None:
    for code in range(0x10000):
        category = theirs.code_to_category(code)
        assert category in {"Unknown", status_class(code).value}


@pytest.mark.parametrize("service", THEIR_TABLES)
def test_tables_have_the_codes_and_classes_of_pynetdicom(service: str) -> None:
    ours = {code: name for code, (name, _) in status_table(service).expand().items()}
    assert ours == {code: category for code, (category, _) in THEIR_TABLES[service].items()}


def test_no_table_is_untested() -> None:
    assert set(TABLES) <= set(THEIR_TABLES)


@pytest.mark.parametrize("service", TABLES)
def test_rules_ascend_do_not_overlap_and_agree_with_their_class(service: str) -> None:
    rules = status_table(service).rules
    for before, after in pairwise(rules):
        assert before.last < after.first
    for rule in rules:
        assert rule.first <= rule.last
        assert status_class(rule.first) is status_class(rule.last) is rule.status_class
        assert rule.text == rule.text.strip()


def test_a_code_is_found_in_its_range() -> None:
    table = status_table("storage")
    assert table.find(0xA7FF) == (0xA700, 0xA7FF, StatusClass.FAILURE, "Refused: Out of Resources")
    assert table.find(0xA800) is None
    assert table.find(0x0122) == (0x0122, 0x0122, StatusClass.FAILURE, "Refused: SOP Class Not Supported")


@pytest.mark.parametrize(
    ("code", "service", "text"),
    [
        (0x0000, "storage", "0000H Success"),
        (0xA701, "storage", "A701H Failure: Refused: Out of Resources"),
        (0xB007, "storage", "B007H Warning: Data Set Does Not Match SOP Class"),
        (0x1234, "storage", "1234H Failure"),
        (0x0211, "no such service", "0211H Failure: Unrecognised Operation"),
    ],
)
def test_statuses_are_told_by_number_class_and_words(code: int, service: str, text: str) -> None:
    assert describe_status(code, service) == text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NO_SUCH_ATTRIBUTE", "No Such Attribute"),
        ("PROCESSING_FAILURE", "Processing Failure"),
        ("INVALID_OBJECT_INSTANCE", "Invalid Object Instance"),
        ("SOP_CLASS_NOT_SUPPORTED", "Refused: SOP Class Not Supported"),
        ("NOT_AUTHORISED", "Refused: Not Authorised"),
        ("DUPLICATE_INVOCATION", "Duplicate Invocation"),
        ("UNRECOGNISED_OPERATION", "Unrecognised Operation"),
        ("MISTYPED_ARGUMENT", "Mistyped Argument"),
        ("RESOURCE_LIMITATION", "Resource Limitation"),
        ("OUT_OF_RESOURCES", "Refused: Out of Resources"),
        ("DATASET_MISMATCH", "Data Set Does Not Match SOP Class"),
        ("CANNOT_UNDERSTAND", "Cannot Understand"),
    ],
)
def test_constants_are_the_codes_they_name(name: str, words: str) -> None:
    rule = status_table("storage").find(getattr(statuses, name))
    assert rule is not None
    assert rule.text == words
