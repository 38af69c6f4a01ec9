"""Self-signed certificates for TLS tests, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp


@cache
def certificate() -> tuple[Path, Path]:
    """Make a certificate for localhost; return the paths of certificate and key."""
    directory = Path(mkdtemp(prefix="dicom-tls-"))
    crt, key = directory / "cert.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext"]
    command += ["subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(crt), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return crt, key


def server_context() -> ssl.SSLContext:
    """Return the context of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    return context


def client_context() -> ssl.SSLContext:
    """Return the context of a client that trusts that certificate."""
    return ssl.create_default_context(cafile=str(certificate()[0]))
