"""The settings of each sender and of each destination."""

from __future__ import annotations

from typing import Literal

from router.config.section import REQUIRED, Section, setting
from router.config.tls_settings import DestinationTls
from router.config.values import AETitle, Fingerprint, Host, Network, PeerPort

Ack = Literal["stored", "delivered"]


class Source(Section):
    """A known sender: all that it gives must match. The first source that matches counts."""

    calling_ae_titles: tuple[AETitle, ...] = setting(
        (), "Calling AE titles of this source; empty: any.", reload="next association"
    )
    addresses: tuple[Network, ...] = setting(
        (), "Addresses or CIDR networks of this source; empty: any.", reload="next association"
    )
    ack: Ack | None = setting(
        None,
        "What a success answer promises to this source; default: that of [router].",
        reload="next association",
    )
    associations_max: int = setting(
        0,
        "Associations of this source at a time in each acceptor; 0: no limit of its own.",
        unit="associations",
        ge=0,
        le=100_000,
        reload="next association",
    )
    pdu_tolerance_kb: int = setting(
        0,
        "By how much a P-DATA-TF of this source may exceed the length announced to it, as some devices do; "
        "0: it is a violation.",
        unit="kb",
        ge=0,
        le=65536,
        reload="next association",
    )
    tls: bool = setting(False, "Whether this source must come over TLS.", reload="next association")
    certificate_names: tuple[str, ...] = setting(
        (),
        "Names of which the source's certificate must have one: its common name or a subject alternative "
        "name. An AE title of a source bound to a certificate is accepted from nobody else.",
        reload="next association",
    )
    certificate_fingerprints: tuple[Fingerprint, ...] = setting(
        (),
        "SHA-256 fingerprints of which the source's certificate must have one.",
        reload="next association",
    )


class Destination(Section):
    """A peer that instances are forwarded to."""

    ae_title: AETitle = setting(REQUIRED, "The called AE title.", reload="next association")
    host: Host = setting(REQUIRED, "Host name or address.", reload="next association")
    port: PeerPort = setting(REQUIRED, "TCP port.", reload="next association")
    calling_ae_title: AETitle = setting(
        "ROUTER", "The calling AE title; default: ae_title of [router].", reload="next association"
    )
    associations_max: int = setting(
        4, "Associations at a time from each worker.", unit="associations", ge=1, le=1024, reload="live"
    )
    operations_max: int = setting(
        16,
        "Operations outstanding on one association, if the peer grants as many.",
        unit="operations",
        ge=1,
        le=65535,
        reload="next association",
    )
    pdu_max_kb: int = setting(
        256, "Longest P-DATA-TF announced to the peer.", unit="kb", ge=4, le=65536, reload="next association"
    )
    idle_s: float = setting(
        10.0, "An association unused for this long is released.", unit="s", ge=0, le=86400, reload="live"
    )
    keep_alive: bool = setting(
        False, "Whether one idle association is kept open and tested with C-ECHO.", reload="live"
    )
    connect_s: float = setting(
        5.0,
        "Longest wait for the TCP connection and its TLS.",
        unit="s",
        ge=0.1,
        le=600,
        reload="next association",
    )
    acse_s: float = setting(
        30.0,
        "Longest wait for the answer to an association or release request.",
        unit="s",
        ge=0.1,
        le=3600,
        reload="next association",
    )
    dimse_s: float = setting(
        60.0, "Longest wait for a response.", unit="s", ge=0.1, le=86400, reload="next association"
    )
    retry_first_s: float = setting(
        1.0,
        "Wait before the first retry; it doubles each time, with jitter.",
        unit="s",
        ge=0.01,
        le=3600,
        reload="live",
    )
    retry_max_s: float = setting(
        300.0, "Longest wait between retries.", unit="s", ge=0.01, le=86400, reload="live"
    )
    attempts_max: int = setting(
        3,
        "Attempts after which a permanently refused instance is dead (kept, not tried again).",
        unit="attempts",
        ge=1,
        le=1000,
        reload="live",
    )
    alternate: str = setting(
        "",
        "A destination that takes over, once, what this one refuses for good or is down too long for; empty: "
        "none.",
        reload="live",
    )
    alternate_after_s: float = setting(
        300.0,
        "How long nothing has gone well before the alternate takes over all that is owed.",
        unit="s",
        ge=0,
        le=31_536_000,
        reload="live",
    )
    tls: DestinationTls | None = None
