"""The settings of TLS, in and out (PS3.15 section B.12)."""

from __future__ import annotations

from typing import Literal

from router.config.section import REQUIRED, Section, setting
from router.config.values import Fingerprint, Host, Path, Port

TlsVersion = Literal["1.2", "1.3"]
CipherSuite = Literal[
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
]
CIPHER_SUITES: tuple[CipherSuite, ...] = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
)
"""What RFC 9325 section 4.2 recommends for TLS 1.2, which PS3.15 section B.12 follows."""


class ListenerTls(Section):
    """A second port, for senders that use TLS (PS3.15 section B.12). SIGHUP reads certificates again."""

    host: Host = setting("0.0.0.0", "Address to listen on.", reload="restart")
    port: Port = setting(2762, "TCP port to listen on; 0 takes a free one.", reload="restart")
    certificate: Path = setting(
        REQUIRED,
        "PEM file of this router's certificate, followed by those of the CAs between it and the root.",
        reload="next association",
    )
    key: Path = setting(
        REQUIRED, "PEM file of the certificate's private key, not encrypted.", reload="next association"
    )
    client_certificates: Literal["required", "optional", "none"] = setting(
        "required",
        "Whether a sender must show a certificate, may show one, or is not asked for it.",
        reload="next association",
    )
    ca: Path | None = setting(
        None,
        "PEM file of the CAs (or of the self-signed certificates) that senders' certificates are checked by.",
        reload="next association",
    )
    minimum: TlsVersion = setting("1.2", "Oldest version of TLS that is spoken.", reload="next association")
    cipher_suites: tuple[CipherSuite, ...] = setting(
        CIPHER_SUITES,
        "Cipher suites of TLS 1.2, the preferred ones first; those of TLS 1.3 are all good.",
        reload="next association",
    )
    handshake_s: float = setting(
        10.0,
        "Longest time for the whole TLS handshake.",
        unit="s",
        ge=0.1,
        le=600,
        reload="next association",
    )


class DestinationTls(Section):
    """TLS towards this destination: never without it, whatever fails. SIGHUP reads certificates again."""

    ca: Path | None = setting(
        None,
        "PEM file of the CAs that the destination's certificate is checked by; without, those of the system, "
        "or none if certificate_fingerprints are given.",
        reload="next association",
    )
    name: Host | None = setting(
        None,
        "Name that its certificate must have; without, that is the host of the destination.",
        reload="next association",
    )
    check_name: bool = setting(
        True,
        "Whether the certificate must have that name; without, any certificate of the CA passes.",
        reload="next association",
    )
    certificate_fingerprints: tuple[Fingerprint, ...] = setting(
        (),
        "SHA-256 fingerprints of which its certificate must have one; with them, a self-signed certificate "
        "needs no CA.",
        reload="next association",
    )
    certificate: Path | None = setting(
        None,
        "PEM file of the certificate that this router shows, followed by those of the CAs between.",
        reload="next association",
    )
    key: Path | None = setting(
        None, "PEM file of that certificate's private key, not encrypted.", reload="next association"
    )
    minimum: TlsVersion = setting("1.2", "Oldest version of TLS that is spoken.", reload="next association")
    cipher_suites: tuple[CipherSuite, ...] = setting(
        CIPHER_SUITES, "Cipher suites offered for TLS 1.2.", reload="next association"
    )
