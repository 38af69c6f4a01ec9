"""SOP classes by name, service class and UID: the 252 of the inventory, side by side with pynetdicom's."""

from __future__ import annotations

import pynetdicom.sop_class as theirs
import pytest
from pydicom.uid import UID

from router.api import sop_class as ours
from router.api.service_class import (
    QueryRetrieveServiceClass,
    ServiceClass,
    StorageServiceClass,
    VerificationServiceClass,
)

NAMES = sorted(name for name in dir(theirs) if isinstance(getattr(theirs, name), theirs.SOPClass))
INSTANCES = [
    "DisplaySystemInstance",
    "PrinterInstance",
    "PrinterConfigurationRetrievalInstance",
    "ProceduralEventLoggingInstance",
    "StorageCommitmentPushModelInstance",
    "StorageManagementInstance",
    "SubstanceAdministrationLoggingInstance",
    "UPSGlobalSubscriptionInstance",
    "UPSFilteredGlobalSubscriptionInstance",
]


def test_there_are_252_names_and_each_has_pynetdicoms_uid_and_service_class() -> None:
    assert len(NAMES) == 252
    for name in NAMES:
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert isinstance(mine, ours.SOPClass)
        assert mine == str(other), name
        assert mine.service_class.__name__ == other.service_class.__name__, name
    offered = {name for name in dir(ours) if isinstance(getattr(ours, name, None), ours.SOPClass)}
    assert offered == set(NAMES)


@pytest.mark.parametrize("name", INSTANCES)
def test_well_known_instances_have_their_uids(name: str) -> None:
    assert getattr(ours, name) == str(getattr(theirs, name))


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.4.2", "1.2.840.10008.5.1.4.34.6", "1.2.3.4", "1.2.840.10008.1.3.10"]
)
def test_other_uids_have_pynetdicoms_service_class(uid: str) -> None:
    assert ours.uid_to_service_class(uid).__name__ == theirs.uid_to_service_class(uid).__name__


def test_an_unknown_uid_becomes_a_sop_class_of_no_service() -> None:
    unknown = ours.uid_to_sop_class("1.2.3.4.5")
    assert isinstance(unknown, UID)
    assert unknown.service_class is ServiceClass
    assert ours.uid_to_sop_class("1.2.840.10008.1.1").service_class is VerificationServiceClass


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="NoSuchStorage"):
        ours.NoSuchStorage  # noqa: B018


def test_a_private_class_can_be_registered_and_imported() -> None:
    ours.register_uid("1.2.246.1", "PrivateTestStorage", StorageServiceClass)
    from router.api.sop_class import PrivateTestStorage

    assert PrivateTestStorage == "1.2.246.1"
    assert PrivateTestStorage.service_class is StorageServiceClass
    assert ours.uid_to_service_class("1.2.246.1") is StorageServiceClass


@pytest.mark.parametrize(
    ("keyword", "service_class", "message", "error"),
    [
        ("no identifier", StorageServiceClass, "", ValueError),
        ("class", StorageServiceClass, "", ValueError),
        ("PrivateFind", QueryRetrieveServiceClass, "", ValueError),
        ("PrivateFind", QueryRetrieveServiceClass, "C-STORE", ValueError),
        ("PrivateThing", str, "", TypeError),
    ],
)
def test_what_cannot_be_registered_is_refused(
    keyword: str, service_class: type, message: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ours.register_uid("1.2.246.9", keyword, service_class, message)
    assert ours.uid_to_service_class("1.2.246.9") is ServiceClass
