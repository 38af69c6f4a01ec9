"""AE titles, networks, addresses and names."""

from __future__ import annotations

import pytest

from router.config.values import check_ae_title, check_name, kind_of, parse_address, parse_network


def test_insignificant_spaces_of_an_ae_title_go() -> None:
    assert check_ae_title("  STORE SCP ") == "STORE SCP"


@pytest.mark.parametrize("title", ["", "   ", "A" * 17, "A\\B", "A\nB", "A\x7f", "Ä"])
def test_bad_ae_titles_are_refused(title: str) -> None:
    with pytest.raises(ValueError, match="AE title"):
        check_ae_title(title)


def test_an_address_inside_ipv6_is_ipv4() -> None:
    assert str(parse_address("::ffff:10.0.0.1")) == "10.0.0.1"
    assert str(parse_address("fe80::1%eth0")) == "fe80::1"
    assert parse_address("host") is None


def test_networks() -> None:
    assert str(parse_network("10.0.0.1")) == "10.0.0.1/32"
    with pytest.raises(ValueError, match="did you mean"):
        parse_network("10.0.0.1/8")


@pytest.mark.parametrize("name", ["", " a", "../x", "a\n", "a" * 65, "a/b", 'a"b'])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        check_name(name)


def test_kinds_are_named_for_people() -> None:
    assert list(map(kind_of, ({}, [], [1], True, "x", 5))) == [
        "a table", "an empty list", "a list", "true", "'x'", "5",
    ]  # fmt: skip
    assert kind_of("x" * 100) == "a long text"
