"""Whether the files of a configuration's TLS settings do what is asked of them: every mistake, with a hint.

Asked before a start, at a reload and by `dicom-router check`; the files may change later, so that whoever
loads a context is ready for an error too. A certificate out of its dates is told apart: peers will refuse
it, but it is no reason to keep the plain port or the other destinations from working.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from router.config.schema import Config
from router.drivers.certificates import is_encrypted_key, read_certificates, validity_of
from router.drivers.tls_context import destination_context, listener_context, load_identity
from router.errors import ConfigError

EXPIRES_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files that one TLS table names; key_of_table: its place in the configuration."""

    table: str
    certificate: str | None
    key: str | None
    ca: str | None


def tls_files(config: Config) -> Iterator[TlsFiles]:
    """Yield the files of every TLS table."""
    if config.listener.tls is not None:
        tls = config.listener.tls
        ca = tls.ca if tls.client_certificates != "none" else None
        yield TlsFiles("listener.tls", tls.certificate, tls.key, ca)
    for name, destination in config.destinations.items():
        if destination.tls is not None:
            one = destination.tls
            yield TlsFiles(f"destinations.{name}.tls", one.certificate, one.key, one.ca)


def tls_mistakes(config: Config, path: str) -> list[ConfigError]:
    """Return what keeps TLS from working at all: files that are missing, unreadable or do not fit."""
    found: list[ConfigError] = []
    for files in tls_files(config):
        mistakes = list(_mistakes(files))
        found += [ConfigError(path, f"{files.table}.{key}", why, hint) for key, why, hint in mistakes]
        if not mistakes:
            found += _context_mistakes(config, path, files.table)
    return found


def tls_dates(config: Config, path: str, now: datetime | None = None) -> list[tuple[ConfigError, bool]]:
    """Return certificates that are out of their dates (True) or soon will be (False)."""
    now = now or datetime.now(UTC)
    found: list[tuple[ConfigError, bool]] = []
    for files in tls_files(config):
        for key, file in (("certificate", files.certificate), ("ca", files.ca)):
            for number, certificate in enumerate(_readable(file)):
                if (said := _date(certificate, now)) is not None:
                    which = f", certificate {number + 1} of the file," if number else ""
                    why = f"{file}{which} {said[0]}"
                    hint = "renew it, then send SIGHUP" if key == "certificate" else ""
                    found.append((ConfigError(path, f"{files.table}.{key}", why, hint), said[1]))
    return found


def tls_digest(config: Config) -> str:
    """Return a digest of the content of all the files: another one means that they must be read again."""
    digest = hashlib.sha256()
    for files in tls_files(config):
        for file in (files.certificate, files.key, files.ca):
            digest.update(f"{files.table}\0{file}\0".encode())
            try:
                with open(file or os.devnull, "rb") as opened:
                    digest.update(hashlib.file_digest(opened, "sha256").digest())
            except OSError as error:
                digest.update(f"{error.errno}".encode())
    return digest.hexdigest()


def _mistakes(files: TlsFiles) -> Iterator[tuple[str, str, str]]:
    """Yield (key, why, hint) of what is wrong with single files, then with certificate and key together."""
    before = 0
    for key, file in (("certificate", files.certificate), ("key", files.key), ("ca", files.ca)):
        if file is None:
            continue
        why, hint = _unusable(key, file)
        if why:
            before += 1
            yield key, f"{file} {why}", hint
    if before or files.certificate is None or files.key is None:
        return
    try:
        load_identity(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files.certificate, files.key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            hint = "certificate and key must be made for each other; is the router's certificate the first?"
            yield "key", f"{files.key} is not the key of {files.certificate}", hint
        else:
            yield "key", f"{files.key} cannot be used: {error.reason or error}", "is it a key in PEM format?"


def _unusable(key: str, file: str) -> tuple[str, str]:
    """Return why one file does not do, and a hint; ("", "") if it does."""
    try:
        if key == "key":
            if is_encrypted_key(file):
                return "is encrypted", "decrypt it: openssl pkey -in FILE -out FILE.plain"
            return "", ""
        certificates = read_certificates(file)
        if not certificates:
            return "holds no certificate", "PEM files have lines like -----BEGIN CERTIFICATE-----"
        for certificate in certificates:
            validity_of(certificate)
    except FileNotFoundError:
        return "does not exist", "give the whole path; deploy/tls/make-test-ca.sh makes files to try"
    except PermissionError:
        return "cannot be read: permission denied", "the user that runs the router must be able to read it"
    except OSError as error:
        return f"cannot be read: {(error.strerror or str(error)).lower()}", ""
    except ValueError as error:
        return f"is damaged: {error}", ""
    return "", ""


def _context_mistakes(config: Config, path: str, table: str) -> list[ConfigError]:
    """Make the context itself: it may still refuse, a key that is too short for instance."""
    try:
        if table == "listener.tls":
            assert config.listener.tls is not None
            listener_context(config.listener.tls)
        else:
            tls = config.destinations[table.split(".", 1)[1].rpartition(".")[0]].tls
            assert tls is not None
            destination_context(tls)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        hint = "RSA keys have 2048 bits or more" if "SMALL" in str(reason) or "WEAK" in str(reason) else ""
        return [ConfigError(path, table, f"cannot be used: {reason}", hint)]
    return []


def _readable(file: str | None) -> list[bytes]:
    try:
        return read_certificates(file) if file else []
    except (OSError, ValueError):
        return []


def _date(certificate: bytes, now: datetime) -> tuple[str, bool] | None:
    """Return what there is to say about the dates, and whether the certificate is useless now."""
    try:
        validity = validity_of(certificate)
    except ValueError:
        return None
    if now < validity.not_before:
        return f"is not valid before {validity.not_before:%Y-%m-%d %H:%M} UTC", True
    if now > validity.not_after:
        return f"has expired on {validity.not_after:%Y-%m-%d %H:%M} UTC", True
    if now + EXPIRES_SOON > validity.not_after:
        return f"expires on {validity.not_after:%Y-%m-%d %H:%M} UTC", False
    return None
