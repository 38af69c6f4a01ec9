"""TLS by PS3.15 section B.12 (BCP 195: RFC 8996 and RFC 9325): contexts of both directions, from settings.

TLS 1.2 and 1.3 only; the cipher suites of TLS 1.2 are those that are configured; no compression, no
renegotiation, no session tickets that outlive a change of who is trusted. Whoever loads a context reads the
files: after a reload a new one is made.
"""

from __future__ import annotations

import ssl
from typing import Any

from router.config.tls_settings import DestinationTls, ListenerTls
from router.drivers.certificates import fingerprint_of
from router.drivers.tls_alerts import AlertingContext

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

# The names of the Standard and of the RFCs, as OpenSSL says them.
OPENSSL_NAMES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}

NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_TOO_SMALL",
)
"""What OpenSSL says of bytes that begin no TLS record."""

CLIENT_CERTIFICATES = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}


def listener_context(settings: ListenerTls) -> ssl.SSLContext:
    """Return the context of a port for senders. Raises OSError (ssl.SSLError is one) for files that do not
    do."""
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, settings.minimum, settings.cipher_suites)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_TICKET
    context.num_tickets = 0
    load_identity(context, settings.certificate, settings.key)
    context.verify_mode = CLIENT_CERTIFICATES[settings.client_certificates]
    if settings.ca is not None and settings.client_certificates != "none":
        context.load_verify_locations(settings.ca)
    return context


def destination_context(settings: DestinationTls) -> ssl.SSLContext:
    """Return the context of associations with a destination. Raises OSError as listener_context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context, settings.minimum, settings.cipher_suites)
    if settings.certificate is not None and settings.key is not None:
        load_identity(context, settings.certificate, settings.key)
    is_pinned = bool(settings.certificate_fingerprints)
    context.check_hostname = settings.check_name and (settings.ca is not None or not is_pinned)
    if settings.ca is not None:
        context.load_verify_locations(settings.ca)
    elif is_pinned:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if is_pinned:
        context.sslobject_class = _pinned_class(frozenset(settings.certificate_fingerprints))
    return context


def handshake_outcome(error: OSError) -> tuple[str, str]:
    """Return the kind of a failed handshake, a metric's label, and what there is to say about it.

    certificate: the peer's is missing or not trusted. plain: no TLS at all. protocol: no version or cipher
    suite in common, or broken TLS. timeout, closed: as they say.
    """
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if isinstance(error, ssl.SSLCertVerificationError):
            return "certificate", error.verify_message or str(error)
        if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
            return "certificate", reason.lower().replace("_", " ")
        if reason in NOT_TLS:
            return "plain", reason.lower().replace("_", " ")
        return "protocol", reason.lower().replace("_", " ") or "unknown"
    if isinstance(error, TimeoutError) or "taking longer" in str(error):
        return "timeout", "the handshake was not done in time"
    return "closed", "the connection was closed in the handshake"


def load_identity(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a certificate chain and its key; a key that needs a password is an error, never a question.

    Raises OSError (ssl.SSLError is one).
    """
    context.load_cert_chain(certificate, key, password=lambda: b"")


def _restrict(context: ssl.SSLContext, minimum: str, suites: tuple[str, ...]) -> None:
    context.minimum_version = VERSIONS[minimum]
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    # Without suites only TLS 1.3 is spoken, whose suites OpenSSL keeps apart; it takes no empty list.
    names = [OPENSSL_NAMES[suite] for suite in suites] or list(OPENSSL_NAMES.values())
    context.set_ciphers(":".join(names))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # Peers end connections without close_notify; PDUs have lengths, so that a cut is noticed anyway.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)


def _pinned_class(fingerprints: frozenset[str]) -> type[ssl.SSLObject]:
    """Return an SSLObject whose handshake fails for any other certificate than these."""

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            certificate: Any = self.getpeercert(binary_form=True)
            if not certificate or fingerprint_of(certificate) not in fingerprints:
                raise ssl.SSLCertVerificationError("the certificate has none of the fingerprints asked for")

    return Pinned
