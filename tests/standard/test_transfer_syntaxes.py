"""Transfer syntaxes: the 45, and how each encodes a dataset."""

from __future__ import annotations

import re

import pynetdicom  # adds the newest syntaxes to pydicom's dictionary
import pytest
from pydicom.uid import UID

from router.standard import transfer_syntaxes
from router.standard.transfer_syntaxes import ALL_TRANSFER_SYNTAXES, DEFAULT_TRANSFER_SYNTAXES, encoding_of


def test_there_are_45_in_the_order_of_their_numbers() -> None:
    assert list(ALL_TRANSFER_SYNTAXES) == pynetdicom.ALL_TRANSFER_SYNTAXES
    assert list(DEFAULT_TRANSFER_SYNTAXES) == pynetdicom.DEFAULT_TRANSFER_SYNTAXES
    assert len(set(ALL_TRANSFER_SYNTAXES)) == 45


@pytest.mark.parametrize("uid", ALL_TRANSFER_SYNTAXES)
def test_each_has_a_constant_named_by_its_keyword(uid: str) -> None:
    names = {
        re.sub("[^a-z0-9]", "", name.lower())
        for name, value in vars(transfer_syntaxes).items()
        if value == uid
    }
    assert UID(uid).keyword.lower() in names


@pytest.mark.parametrize("uid", ALL_TRANSFER_SYNTAXES)
def test_encodings_agree_with_pydicom(uid: str) -> None:
    encoding = encoding_of(uid)
    assert encoding.implicit_vr == UID(uid).is_implicit_VR
    assert encoding.big_endian == (not UID(uid).is_little_endian)


def test_three_syntaxes_deflate_the_dataset() -> None:
    deflated = [uid for uid in ALL_TRANSFER_SYNTAXES if encoding_of(uid).deflated]
    assert deflated == ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"]


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.4.66", "1.3.46.670589.33.1.4.1", ""]
)
def test_unknown_and_private_ones_are_explicit_little_endian(uid: str) -> None:
    assert encoding_of(uid) == (False, False, False)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "1.2.840.10008.1.20", "1.2.840.113619.5.2"])
def test_few_are_implicit(uid: str) -> None:
    assert encoding_of(uid) == (True, False, False)
