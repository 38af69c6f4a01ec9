"""A sender is found by calling AE title and address; all that a source gives must match."""

from __future__ import annotations

import pytest

from router.config.schema import Source
from router.config.sources import SourceTable

TABLE = SourceTable(
    {
        "both": Source(calling_ae_titles=("CT1",), addresses=("10.1.0.0/16",)),
        "title": Source(calling_ae_titles=("CT1", "CT2")),
        "address": Source(addresses=("10.2.0.0/16", "2001:db8::/32")),
    }
)


@pytest.mark.parametrize(
    ("title", "address", "name"),
    [
        ("CT1", "10.1.2.3", "both"),
        ("CT1", "10.9.9.9", "title"),
        ("CT2", "", "title"),
        ("MR", "10.2.0.1", "address"),
        ("MR", "::ffff:10.2.0.1", "address"),
        ("MR", "2001:db8::5", "address"),
        ("MR", "10.1.2.3", None),
        ("MR", "not an address", None),
        ("ct1", "10.9.9.9", None),
    ],
)
def test_the_first_source_that_matches_counts(title: str, address: str, name: str | None) -> None:
    assert TABLE.find(title, address) == name


def test_without_sources_everybody_is_unknown() -> None:
    assert SourceTable({}).find("CT1", "10.1.2.3") is None
