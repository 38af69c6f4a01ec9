"""Files of TLS settings that do not do are told with the key, the reason and a hint."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from router.config.load import parse_config
from router.config.schema import Config
from router.drivers.tls_check import tls_dates, tls_digest, tls_mistakes
from tests.support.pki import Identity, openssl, pki


def config_of(identity: Identity, ca: Path | None = None) -> Config:
    """Return a configuration that uses the files in both directions."""
    ca = ca or pki().ca.certificate
    lines = f'certificate = "{identity.certificate}"\nkey = "{identity.key}"\nca = "{ca}"\n'
    return parse_config(
        f"[listener.tls]\n{lines}"
        '[destinations."P.1"]\nae_title = "P"\nhost = "h"\nport = 1\n'
        f'[destinations."P.1".tls]\n{lines}'
    )


def said(config: Config) -> list[tuple[str, str, str]]:
    return [(error.key, error.why, error.hint) for error in tls_mistakes(config, "x.toml")]


def test_good_files_are_no_mistake() -> None:
    assert said(config_of(pki().router)) == []
    assert said(Config()) == []


def test_every_file_that_is_missing_is_told() -> None:
    config = config_of(Identity(Path("/nowhere/a"), Path("/nowhere/b")), Path("/nowhere/c"))
    found = said(config)
    assert [key for key, _, _ in found] == [
        f"{table}.{key}"
        for table in ("listener.tls", "destinations.P.1.tls")
        for key in ("certificate", "key", "ca")
    ]
    assert all("does not exist" in why and hint for _, why, hint in found)


def test_a_key_of_another_certificate_is_told() -> None:
    found = said(config_of(Identity(pki().router.certificate, pki().sender.key)))
    assert [key for key, _, _ in found] == ["listener.tls.key", "destinations.P.1.tls.key"]
    assert "is not the key of" in found[0][1]
    assert "made for each other" in found[0][2]


def test_files_of_another_kind_are_told(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    secret = tmp_path / "secret.key"
    openssl("pkey", "-in", pki().router.key, "-aes256", "-passout", "pass:x", "-out", secret)
    found = {
        key: (why, hint) for key, why, hint in said(config_of(Identity(nothing, secret), pki().router.key))
    }
    assert "is damaged" in found["listener.tls.certificate"][0]
    assert "is encrypted" in found["listener.tls.key"][0]
    assert "openssl pkey" in found["listener.tls.key"][1]
    assert "holds no certificate" in found["listener.tls.ca"][0]
    found = {
        key: (why, hint) for key, why, hint in said(config_of(Identity(pki().router.certificate, nothing)))
    }
    assert "cannot be used" in found["listener.tls.key"][0]


@pytest.mark.parametrize(
    ("days", "words", "is_out"),
    [(0, "expires on", False), (5, "has expired on", True), (-5, "is not valid before", True)],
)
def test_dates_are_told_before_and_after(days: int, words: str, is_out: bool) -> None:
    now = datetime.now(UTC) + timedelta(days=days)
    found = tls_dates(config_of(pki().router), "x.toml", now)
    assert len(found) == 4  # certificate and CA, in both directions
    assert all(words in error.why and out is is_out for error, out in found)


def test_a_certificate_that_lasts_is_not_mentioned(tmp_path: Path) -> None:
    path = tmp_path / "long.crt"
    openssl("req", "-x509", "-new", "-key", pki().router.key, "-days", "400", "-subj", "/CN=x", "-out", path)
    assert tls_dates(config_of(Identity(path, pki().router.key), path), "x.toml") == []


def test_the_digest_changes_with_the_content_of_a_file(tmp_path: Path) -> None:
    copy = Identity(tmp_path / "a.crt", tmp_path / "a.key")
    for file, source in ((copy.certificate, pki().router.certificate), (copy.key, pki().router.key)):
        file.write_bytes(source.read_bytes())
    config = config_of(copy)
    before = tls_digest(config)
    assert tls_digest(config) == before
    copy.certificate.write_bytes(pki().sender.certificate.read_bytes())
    changed = tls_digest(config)
    copy.certificate.unlink()
    assert len({before, changed, tls_digest(config)}) == 3
