"""SOP classes and transfer syntaxes by name."""

from __future__ import annotations

import pytest

from router.config.subjects import KeyMistake
from router.config.uid_names import resolve_uid


@pytest.mark.parametrize(
    "name", ["CT Image Storage", "CTImageStorage", "ct_image_storage", "1.2.840.10008.5.1.4.1.1.2"]
)
def test_a_sop_class_by_any_spelling(name: str) -> None:
    assert resolve_uid("sop_class", name) == "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize("name", ["JPEG_2000_LOSSLESS", "JPEG2000Lossless"])
def test_a_transfer_syntax_by_any_spelling(name: str) -> None:
    assert resolve_uid("transfer_syntax", name) == "1.2.840.10008.1.2.4.90"


def test_private_uids_are_as_good() -> None:
    assert resolve_uid("sop_class", "1.3.12.2.1107.5.9.1") == "1.3.12.2.1107.5.9.1"


def test_an_unknown_name_is_a_mistake_with_a_suggestion() -> None:
    with pytest.raises(KeyMistake) as caught:
        resolve_uid("sop_class", "CTImageStorag")
    assert "did you mean CTImageStorage?" in caught.value.hint
