"""Dates, names and fingerprints of certificates are read as openssl says them."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.drivers.certificates import fingerprint_of, is_encrypted_key, read_certificates, validity_of
from tests.support.pki import openssl, pki


def openssl_says(path: Path, option: str) -> str:
    command = ["openssl", "x509", "-in", str(path), "-noout", option, "-sha256"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split("=")[1]


def test_the_dates_are_those_that_openssl_reads() -> None:
    for identity in (pki().router, pki().expired):
        validity = validity_of(read_certificates(str(identity.certificate))[0])
        for moment, option in ((validity.not_before, "-startdate"), (validity.not_after, "-enddate")):
            text = openssl_says(identity.certificate, option)
            assert moment == datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def test_dates_beyond_2049_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "long.crt"
    key = pki().router.key
    openssl("req", "-x509", "-new", "-key", key, "-days", "20000", "-subj", "/CN=long", "-out", path)
    assert validity_of(read_certificates(str(path))[0]).not_after.year > 2050


def test_the_fingerprint_is_openssls() -> None:
    found = fingerprint_of(read_certificates(str(pki().router.certificate))[0])
    assert found == openssl_says(pki().router.certificate, "-fingerprint").replace(":", "").lower()


def test_a_file_may_hold_several_certificates_and_other_text(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    parts = [pki().router.certificate.read_text(), pki().ca.certificate.read_text()]
    chain.write_text("subject=x\n" + "\nissuer=y\n".join(parts))
    assert read_certificates(str(chain)) == [ssl.PEM_cert_to_DER_cert(part) for part in parts]


def test_an_encrypted_key_is_told(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    openssl("pkey", "-in", pki().router.key, "-aes256", "-passout", "pass:x", "-out", path)
    assert is_encrypted_key(str(path))
    assert not is_encrypted_key(str(pki().router.key))


@given(st.binary(max_size=200))
def test_what_is_no_certificate_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"is (cut short|not a certificate)|time data"):
        validity_of(data)


@given(st.data())
def test_a_cut_or_changed_certificate_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(read_certificates(str(pki().router.certificate))[0])
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        validity_of(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
