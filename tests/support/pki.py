"""Certificate authorities for a test and what they issue: good, expired, for another use; made by openssl."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

BOTH = "serverAuth,clientAuth"


@dataclass(frozen=True)
class Identity:
    """The PEM files of a certificate and of its key."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """Return the certificate's SHA-256 in small hexadecimal digits."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).hexdigest()


@dataclass(frozen=True)
class Authority:
    """A CA; `certificate` is what trusts it."""

    directory: Path
    certificate: Path
    key: Path

    def issue(
        self,
        name: str,
        *,
        file: str = "",
        usage: str = BOTH,
        days: int = 2,
        names: tuple[str, ...] = ("DNS:localhost", "IP:127.0.0.1"),
    ) -> Identity:
        """Issue a certificate. name: its common name. days: negative for one that has expired."""
        stem = self.directory / (file or name)
        made = Identity(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        new_key(made.key)
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        openssl("req", "-new", "-key", made.key, "-subj", f"/CN={name}", "-out", request)
        extensions.write_text(
            f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\nsubjectAltName={','.join(names)}\n"
        )
        openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
            "-days", str(days), "-sha256", "-extfile", extensions, "-out", made.certificate,
        )  # fmt: skip
        return made


def new_authority(directory: Path, name: str = "test CA") -> Authority:
    """Make a CA in a new directory."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = Authority(directory, directory / "ca.crt", directory / "ca.key")
    new_key(authority.key)
    openssl(
        "req", "-x509", "-new", "-key", authority.key, "-days", "2", "-subj", f"/CN={name}",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
        "-out", authority.certificate,
    )  # fmt: skip
    return authority


@dataclass(frozen=True)
class Pki:
    """What most tests need, made once: a CA, a router, a sender, an archive, and what must not pass."""

    ca: Authority
    router: Identity
    sender: Identity
    expired: Identity
    server_only: Identity
    stranger: Identity
    other_ca: Authority


@cache
def pki() -> Pki:
    """Return the certificates of this process's tests."""
    directory = Path(mkdtemp(prefix="dicom-pki-"))
    ca, other = new_authority(directory / "ca"), new_authority(directory / "other", "another CA")
    return Pki(
        ca,
        ca.issue("router"),
        ca.issue("ct1.example", usage="clientAuth", names=("DNS:ct1.example",)),
        ca.issue("expired", days=-1),
        ca.issue("server-only", usage="serverAuth"),
        other.issue("stranger"),
        other,
    )


def new_key(path: Path) -> None:
    """Make a P-256 key."""
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def openssl(*arguments: object) -> None:
    """Run openssl; raise CalledProcessError if it fails."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
