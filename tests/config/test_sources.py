"""A sender is found by calling AE title and address; all that a source gives must match."""

from __future__ import annotations

import pytest

from router.config.peers import Source
from router.config.sources import Credentials, SourceTable

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


FINGERPRINT = "ab" * 32

BOUND = SourceTable(
    {
        "bound": Source(calling_ae_titles=("CT1",), certificate_names=("CT1.example",)),
        "pinned": Source(certificate_fingerprints=(FINGERPRINT,)),
        "tls": Source(calling_ae_titles=("MR1",), tls=True),
        "anybody here": Source(addresses=("10.0.0.0/8",)),
    }
)
NAMED = Credentials(frozenset({"ct1.example", "other"}), "00" * 32)


@pytest.mark.parametrize(
    ("title", "credentials", "name"),
    [
        ("CT1", NAMED, "bound"),
        ("CT1", Credentials(frozenset({"ct2.example"})), None),
        ("CT1", Credentials(), None),
        ("CT1", None, None),
        ("XX", Credentials(frozenset(), FINGERPRINT), "pinned"),
        ("CT1", Credentials(frozenset(), FINGERPRINT), None),
        ("MR1", Credentials(), "tls"),
        ("MR1", None, "anybody here"),
        ("XX", NAMED, "anybody here"),
    ],
)
def test_an_ae_title_bound_to_a_certificate_matches_nothing_looser(
    title: str, credentials: Credentials | None, name: str | None
) -> None:
    assert BOUND.find(title, "10.0.0.1", credentials) == name


def test_who_calls_itself_like_a_bound_source_is_not_just_unknown() -> None:
    assert BOUND.is_bound("CT1")
    assert not BOUND.is_bound("MR1")


@pytest.mark.parametrize(
    ("address", "known"), [("10.1.1.1", True), ("::ffff:10.1.1.1", True), ("11.1.1.1", False), ("", False)]
)
def test_an_address_that_a_source_names_may_be_known(address: str, known: bool) -> None:
    assert BOUND.may_know(address) is known
