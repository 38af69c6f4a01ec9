"""Every row of hostile input has its tests, and the page says which."""

from __future__ import annotations

import pytest

from tests.hostile.rows import FOLDER, ROWS, is_there, readme, table_rows

NUMBERED = ("requests", "messages", "datasets", "acceptances", "rules")


def test_no_row_is_left_out() -> None:
    assert [row.number for row in ROWS] == list(range(1, 56))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_every_name_of_a_row_finds_a_test(row) -> None:
    assert row.scp or row.scu
    assert [name for name in (*row.scp, *row.scu) if not is_there(name)] == []


def test_every_row_of_a_table_is_one_of_these() -> None:
    names = [name for row in ROWS for name in (*row.scp, *row.scu)]
    for file in NUMBERED:
        for row_name in table_rows(file):
            assert any(
                name.startswith(f"{file}:") and row_name.startswith(name.partition(":")[2]) for name in names
            ), row_name


def test_the_page_is_up_to_date() -> None:
    assert (FOLDER / "README.md").read_text() == readme()
