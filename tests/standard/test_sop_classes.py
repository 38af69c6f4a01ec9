"""SOP classes: the committed table is the generated one, and services are the right ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pynetdicom import sop_class as theirs

from router.standard import sop_classes
from router.standard.uids import is_valid_uid
from tests.support import generate_standard

ROOT = Path(__file__).parents[2]

THEIR_NAMES = {"basic-worklist-management": "worklist", "": "media-storage"}
"""Services that pynetdicom names otherwise; it has no service for the media storage directory."""


def their_classes() -> dict[str, tuple[str, str]]:
    """UID -> (name to import, name of its service as we would write it)."""
    found = {}
    for name, value in vars(theirs).items():
        if isinstance(value, theirs.SOPClass):
            service = re.sub("ServiceClass$", "", value.service_class.__name__)
            service = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=RT)(?=M)", "-", service).lower()
            found[str(value)] = (name, THEIR_NAMES.get(service, service))
    return found


def test_committed_table_is_what_the_generator_makes() -> None:
    assert generate_standard.TABLE_PATH.read_text(encoding="ascii") == generate_standard.generate()


def test_generator_refuses_a_class_it_cannot_place() -> None:
    with pytest.raises(ValueError, match="SomethingNew"):
        generate_standard.service_of("SomethingNew")


def test_every_class_of_pynetdicom_is_known_with_its_service() -> None:
    classes = their_classes()
    assert len(classes) > 240
    assert {uid: sop_classes.service_of(uid) for uid in classes} == {
        uid: service for uid, (_, service) in classes.items()
    }


def test_every_class_of_pynetdicom_is_known_by_its_name() -> None:
    for uid, (name, _) in their_classes().items():
        assert sop_classes.SOP_CLASSES[uid].keyword == sop_classes.OTHER_KEYWORDS.get(name, name)


def test_uids_names_and_keywords_are_unique() -> None:
    classes = sop_classes.SOP_CLASSES.values()
    assert all(is_valid_uid(info.uid) and info.uid == uid for uid, info in sop_classes.SOP_CLASSES.items())
    assert len({info.name.casefold() for info in classes}) == len(classes)
    keywords = [info.keyword for info in classes if info.keyword]
    assert len(set(keywords)) == len(keywords) >= len(classes) - 2


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.88.67",
        "1.2.840.10008.5.1.4.1.1.481.5",
        "1.2.840.10008.5.1.4.1.1.3",  # retired
        "1.2.840.10008.5.1.4.1.1.40",  # retired, and without a name
        "1.2.840.10008.5.1.4.1.1.501.1",  # DICOS
        "1.2.840.10008.5.1.4.38.1",  # hanging protocol
        "1.2.840.10008.5.1.4.1.1.66.7",  # newer than the dictionary
    ],
)
def test_what_is_stored_by_c_store_is_storage(uid: str) -> None:
    assert sop_classes.is_storage(uid)


@pytest.mark.parametrize(
    ("uid", "service"),
    [
        ("1.2.840.10008.1.1", "verification"),
        ("1.2.840.10008.1.20.1", "storage-commitment"),
        ("1.2.840.10008.1.3.10", "media-storage"),
        ("1.2.840.10008.5.1.4.31", "worklist"),
        ("1.2.840.10008.5.1.4.1.2.2.1", "query-retrieve"),
        ("1.2.840.10008.5.1.4.38.2", "hanging-protocol-query-retrieve"),
        ("1.2.840.10008.5.1.4.1.1.201.5", "storage-management"),
        ("1.2.840.10008.5.1.1.9", "print-management"),
        ("1.2.840.10008.5.1.4.34.6.1", "unified-procedure-step"),
        ("1.2.840.10008.3.1.2.3.3", "procedure-step"),
        ("1.2.840.10008.10.1", "real-time-communication"),
    ],
)
def test_other_services_are_not_storage(uid: str, service: str) -> None:
    assert sop_classes.service_of(uid) == service
    assert not sop_classes.is_storage(uid)


@pytest.mark.parametrize("uid", ["1.2.3", "", "1.2.840.10008.1.2", "1.2.840.113619.4.26"])
def test_unknown_uids_have_no_service(uid: str) -> None:
    assert sop_classes.service_of(uid) is None
    assert not sop_classes.is_storage(uid)
    assert sop_classes.name_of(uid) == uid


def test_names_are_those_of_the_standard() -> None:
    assert sop_classes.name_of("1.2.840.10008.5.1.4.1.1.2") == "CT Image Storage"
    retired = sop_classes.SOP_CLASSES["1.2.840.10008.5.1.4.1.1.6"]
    assert (retired.name, retired.is_retired) == ("Ultrasound Image Storage (Retired)", True)


def test_importing_the_tables_needs_neither_pydicom_nor_the_attribute_table() -> None:
    code = (
        "import sys; import router.standard.sop_classes, router.standard.statuses, router.standard.reasons;"
        "sys.exit(any(name in sys.modules for name in"
        " ('pydicom', 'router.standard.attributes', 'router.standard.status_tables')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
