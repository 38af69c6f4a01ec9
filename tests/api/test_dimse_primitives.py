"""DIMSE primitives: the attributes of pynetdicom's, filled from a command set or by setters."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pynetdicom.dimse_primitives as theirs
import pytest

from router.api import dimse_primitives as ours

NAMES = [primitive.__name__ for primitive in ours.PRIMITIVES.values()]
VALUES: dict[str, list[Any]] = {
    "MessageID": [0, 1, 65535, 65536, -1, "1", None],
    "MessageIDBeingRespondedTo": [0, 65535, 65536, -1, "1"],
    "AffectedSOPClassUID": ["1.2.3", b"1.2.3", "1" * 65, 5],
    "AffectedSOPInstanceUID": ["1.2.3", "1" * 65, 5],
    "RequestedSOPClassUID": ["1.2.3", "1" * 65, 5],
    "RequestedSOPInstanceUID": ["1.2.3", "1" * 65, 5],
    "Priority": [0, 1, 2, 3, -1],
    "MoveDestination": ["ARCHIVE", "A" * 17, 5],
    "MoveOriginatorApplicationEntityTitle": ["ARCHIVE", 5],
    "MoveOriginatorMessageID": [1, 65536, "1"],
}
CASES = [
    (kind, keyword, value)
    for kind in NAMES
    for keyword, values in VALUES.items()
    if hasattr(getattr(theirs, kind)(), keyword)
    for value in values
]


def parameters(primitive: Any) -> set[str]:
    """Return the DIMSE parameters of a primitive by their keyword."""
    return {name for name in dir(primitive) if name[0].isupper() and not name.isupper()}


def test_there_is_one_for_each_of_the_eleven_services() -> None:
    assert len(NAMES) == len(set(NAMES)) == 11


@pytest.mark.parametrize("kind", NAMES)
def test_each_primitive_has_every_parameter_of_pynetdicoms(kind: str) -> None:
    assert parameters(getattr(theirs, kind)()) - parameters(getattr(ours, kind)()) == set()


def outcome(module: Any, kind: str, keyword: str, value: Any) -> Any:
    primitive = getattr(module, kind)()
    try:
        setattr(primitive, keyword, value)
    except (TypeError, ValueError) as error:
        return type(error)
    return getattr(primitive, keyword)


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize(("kind", "keyword", "value"), CASES, ids=str)
def test_a_setter_does_what_pynetdicoms_does(kind: str, keyword: str, value: Any) -> None:
    assert outcome(ours, kind, keyword, value) == outcome(theirs, kind, keyword, value)


@pytest.mark.parametrize("kind", NAMES)
def test_a_new_primitive_is_empty_and_no_valid_request(kind: str) -> None:
    primitive = getattr(ours, kind)()
    assert all(getattr(primitive, keyword) is None for keyword in ours.TAGS if hasattr(primitive, keyword))
    assert not primitive.is_valid_request
    assert not primitive.is_valid_response
    assert primitive.msg_type == kind.replace("_", "-")


def test_a_received_message_shows_its_elements_and_its_dataset() -> None:
    command = {0x0002: "1.2.840.10008.5.1.4.1.1.2", 0x0110: 7, 0x0700: 1, 0x1000: "1.2.3", 0x1031: 9}
    primitive = ours.C_STORE.received(command, b"encoded!", 3)
    assert primitive.AffectedSOPClassUID.name == "CT Image Storage"
    assert (primitive.MessageID, primitive.Priority, primitive.MoveOriginatorMessageID) == (7, 1, 9)
    assert primitive.MoveOriginatorApplicationEntityTitle is None
    assert isinstance(primitive.DataSet, BytesIO)
    assert primitive.DataSet.getvalue() == b"encoded!"
    assert primitive.is_valid_request


@pytest.mark.parametrize("tags", [(0x00100010,), (0x00100010, 0x7FE00010)])
def test_attribute_identifiers_are_tags(tags: tuple[int, ...]) -> None:
    primitive = ours.N_GET.received({0x1005: tags}, None, 1)
    assert primitive.AttributeIdentifierList == list(tags)
    assert [tag.group for tag in primitive.AttributeIdentifierList] == [tag >> 16 for tag in tags]


def test_a_dataset_must_be_a_stream() -> None:
    with pytest.raises(TypeError):
        ours.C_STORE().DataSet = b"bytes"
