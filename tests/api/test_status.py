"""Statuses: every table has pynetdicom's codes, categories and meanings; every code has its category."""

from __future__ import annotations

from typing import Any

import pynetdicom.status as theirs
import pytest
from pydicom.dataset import Dataset

from router.api import status as ours

TABLES = sorted(name for name in dir(theirs) if name.endswith("_STATUS"))


@pytest.mark.parametrize("name", TABLES)
def test_each_table_has_pynetdicoms_codes_categories_and_meanings(name: str) -> None:
    assert getattr(ours, name) == getattr(theirs, name)


def test_every_code_has_pynetdicoms_category() -> None:
    for code in range(0x10000):
        assert ours.code_to_category(code) == theirs.code_to_category(code), hex(code)


@pytest.mark.parametrize("code", [-1, "0000", 1.0, None])
def test_what_is_no_code_is_a_value_error(code: Any) -> None:
    with pytest.raises(ValueError, match="code"):
        ours.code_to_category(code)
    with pytest.raises(ValueError, match="code"):
        ours.code_to_status(code)


def test_a_code_becomes_a_status_dataset() -> None:
    dataset = ours.code_to_status(0xC123)
    assert dataset == theirs.code_to_status(0xC123)
    assert (dataset.Status, len(dataset)) == (0xC123, 1)


def test_status_datasets_are_made_as_pydicom_makes_them_and_share_nothing() -> None:
    first = ours.status_dataset({0x0900: 0xB007, 0x0902: "so so"}, (0x0901, 0x0902))
    second = ours.status_dataset({0x0900: 0x0000}, (0x0902,))
    made = Dataset()
    made.Status = 0xB007
    made.ErrorComment = "so so"
    assert first == made
    assert vars(second).keys() == vars(Dataset()).keys()
    assert vars(second["Status"]).keys() == vars(made["Status"]).keys()
    second.Status = 0x0110
    second.private_block(0x0009, "MINE", create=True).add_new(1, "LO", "x")
    third = ours.status_dataset({0x0900: 0x0000}, ())
    assert (third.Status, len(third), first.Status) == (0x0000, 1, 0xB007)
    with pytest.raises(KeyError):
        third.private_block(0x0009, "MINE")


def test_statuses_have_names_and_take_more() -> None:
    assert (ours.Status.SUCCESS, ours.Status.CANCEL, ours.Status.PENDING) == (0x0000, 0xFE00, 0xFF00)
    assert ours.Status.MOVE_DESTINATION_UNKNOWN == 0xA801
    ours.Status.add("TEST_UNABLE", 0xC234)
    assert ours.Status.TEST_UNABLE == 0xC234  # type: ignore[attr-defined]
