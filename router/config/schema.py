"""Every setting, once: type, unit, default, range, reload class and one sentence.

The example configuration, `check` and the reload plan are all made from these models. Times end in _s, sizes
in _kb, _mb or _gb (binary: 1 kb = 1024 bytes), limits in _max. A model is immutable once loaded.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from router.config.values import (
    AETitle,
    Fingerprint,
    Host,
    Name,
    Network,
    Path,
    PeerPort,
    Port,
    check_ae_title,
)

Ack = Literal["stored", "delivered"]
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
ReloadClass = Literal["live", "next association", "restart"]
REQUIRED: Any = ...  # a setting without a default


def setting(
    default: Any,
    sentence: str,
    *,
    reload: ReloadClass,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    """Declare one setting: its default, one sentence, its unit, its inclusive range and its reload class."""
    extra: dict[str, Any] = {"unit": unit, "reload": reload}
    strict = isinstance(default, int | float) or None  # "11112", 1.0 and 1 are not 11112, 1 and true
    return Field(default, description=sentence, ge=ge, le=le, strict=strict, json_schema_extra=extra)


class Section(BaseModel):
    """A table of the file: unknown keys are errors, and no text is taken for a number or a switch."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RouterSection(Section):
    """What the router is called, how many processes it has, and what its answers promise."""

    ae_title: AETitle = setting(
        "ROUTER",
        "The AE title of this router; it answers to any called AE title unless called_ae_titles is given.",
        reload="next association",
    )
    called_ae_titles: tuple[AETitle, ...] = setting(
        (),
        "Called AE titles that are accepted; others are rejected (1/1/7). Empty: every called AE title.",
        reload="next association",
    )
    acceptors: int = setting(1, "Processes that receive.", unit="processes", ge=1, le=64, reload="restart")
    workers: int = setting(
        1, "Processes that route, store and deliver.", unit="processes", ge=1, le=64, reload="restart"
    )
    ack: Ack = setting(
        "stored",
        "What a success answer promises: the instance is on stable storage, or every destination has it.",
        reload="live",
    )
    ack_fallback: Literal["stored", "failure"] = setting(
        "stored",
        'What follows under ack = "delivered" when a destination fails or is late: store and answer success, '
        "or answer failure.",
        reload="live",
    )
    ack_wait_s: float = setting(
        30.0,
        'Longest wait for the destinations under ack = "delivered" before ack_fallback applies.',
        unit="s",
        ge=0.1,
        le=3600,
        reload="live",
    )
    duplicates: Literal["forward", "skip"] = setting(
        "forward",
        "What follows when an instance comes again byte for byte while the spool has its bytes: it is "
        "forwarded again, or only answered with success. Other bytes under one UID are always forwarded.",
        reload="restart",
    )
    unmatched: Literal["hold", "reject", "discard"] = setting(
        "hold",
        "What happens to an instance that no rule matches: stored and releasable, refused, or dropped.",
        reload="live",
    )
    unknown_sources: Literal["accept", "reject"] = setting(
        "accept",
        "Whether senders outside [sources] may associate; the default is reject once any source is listed.",
        reload="next association",
    )
    operations_max: int = setting(
        16,
        "Operations that one sender may have outstanding, answered in the asynchronous operations window.",
        unit="operations",
        ge=1,
        le=65535,
        reload="next association",
    )
    pdu_max_kb: int = setting(
        256, "Longest P-DATA-TF announced to senders.", unit="kb", ge=4, le=65536, reload="next association"
    )
    associations_max: int = setting(
        500,
        "Associations accepted at a time by each acceptor; more are rejected as congestion (2/3/2).",
        unit="associations",
        ge=1,
        le=100_000,
        reload="next association",
    )
    associations_per_address_max: int = setting(
        0,
        "Associations from one address at a time in each acceptor; more are rejected (2/3/2). 0: no limit of "
        "its own.",
        unit="associations",
        ge=0,
        le=100_000,
        reload="next association",
    )
    reserved_percent: float = setting(
        20.0,
        "Share of associations_max that only senders in [sources] may use, once any source is listed.",
        unit="%",
        ge=0,
        le=90,
        reload="next association",
    )
    pending_max: int = setting(
        512,
        "Connections without an association (in the TLS handshake, before their request, or rejected and not "
        "closed yet) at a time in each acceptor; beyond, the address with the most loses its oldest.",
        unit="connections",
        ge=16,
        le=100_000,
        reload="next association",
    )
    artim_s: float = setting(
        30.0,
        "ARTIM: longest wait for an association request, and for the peer to close (PS3.8 section 9.1.5).",
        unit="s",
        ge=0.1,
        le=3600,
        reload="next association",
    )
    idle_s: float = setting(
        600.0,
        "An accepted association without any message for this long is aborted.",
        unit="s",
        ge=1,
        le=86400,
        reload="next association",
    )
    dimse_s: float = setting(
        60.0,
        "Longest stand-still in the middle of a message, and longest write to a peer that does not read.",
        unit="s",
        ge=0.1,
        le=86400,
        reload="next association",
    )
    drain_s: float = setting(
        30.0,
        "On SIGTERM, longest wait for what is in flight before the processes end.",
        unit="s",
        ge=0,
        le=3600,
        reload="live",
    )
    codec: Literal["compiled", "reference"] = setting(
        "compiled",
        "The codec: compiled, or the slow pure-Python twin for investigation only.",
        reload="restart",
    )


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


class ListenerSection(Section):
    """Where senders connect."""

    host: Host = setting("0.0.0.0", "Address to listen on.", reload="restart")
    port: Port = setting(11112, "TCP port to listen on; 0 takes a free one.", reload="restart")
    plain: bool = setting(
        True,
        "Whether associations without TLS are accepted at all; false needs [listener.tls].",
        reload="restart",
    )
    tls: ListenerTls | None = None


class AdminSection(Section):
    """The HTTP address of metrics, health and the queue commands. It has no authentication: keep it local."""

    host: Host = setting("127.0.0.1", "Address to listen on.", reload="restart")
    port: Port = setting(8080, "TCP port to listen on; 0 takes a free one.", reload="restart")


class SpoolSection(Section):
    """Where instances are kept until every destination has them."""

    path: Path = setting(
        "/var/lib/dicom-router", "Folder of the spool; one running router to a folder.", reload="restart"
    )
    segment_mb: int = setting(
        64,
        "Size at which a segment file is closed and the next begun.",
        unit="mb",
        ge=1,
        le=1024,
        reload="restart",
    )
    quota_gb: float = setting(
        0.0,
        "Most that the spool may hold before instances are refused (A700H); 0: the file system's limit only.",
        unit="gb",
        ge=0,
        le=1_000_000,
        reload="restart",
    )
    watermark_percent: float = setting(
        90.0,
        "Use of the quota, or of the file system while less than 4 GB of it are free, above which senders "
        "are slowed, and after back_pressure_s new associations rejected (2/3/1).",
        unit="%",
        ge=10,
        le=100,
        reload="live",
    )
    reserve_space_gb: float = setting(
        0.0,
        "Free space of the file system below which instances are refused (A700H); 0: whatever there is.",
        unit="gb",
        ge=0,
        le=1_000_000,
        reload="live",
    )
    back_pressure_s: float = setting(
        10.0,
        "How long no new dataset is read once the watermark is passed; keep it below the senders' time-outs.",
        unit="s",
        ge=0,
        le=600,
        reload="live",
    )
    retention_s: float = setting(
        0.0,
        "How long the bytes of settled instances are kept.",
        unit="s",
        ge=0,
        le=31_536_000,
        reload="restart",
    )
    history_s: float = setting(
        2_592_000.0,
        "How long it is remembered what was received and delivered where (`queue study`), bytes or no bytes.",
        unit="s",
        ge=0,
        le=315_360_000,
        reload="restart",
    )
    history_max: int = setting(
        1_000_000,
        "Most settled instances that each worker remembers; the oldest are forgotten first.",
        unit="instances",
        ge=0,
        le=100_000_000,
        reload="restart",
    )
    fsync: bool = setting(
        True,
        "Whether stored means safe from a power cut; false: safe from a crash of the router only.",
        reload="restart",
    )


class LimitsSection(Section):
    """Bounds on memory and on single objects."""

    slab_mb: int = setting(
        128,
        "Shared memory for arriving datasets, for each acceptor.",
        unit="mb",
        ge=1,
        le=65536,
        reload="restart",
    )
    slot_kb: int = setting(
        256, "Unit in which that memory is handed out.", unit="kb", ge=4, le=65536, reload="restart"
    )
    spill_mb: int = setting(
        16,
        "A dataset longer than this goes to a file while it arrives.",
        unit="mb",
        ge=1,
        le=65536,
        reload="restart",
    )
    instance_max_gb: float = setting(
        4.0,
        "A dataset longer than this is refused (A700H).",
        unit="gb",
        ge=0.001,
        le=1024,
        reload="next association",
    )
    structure_scan: Literal["off", "nesting", "strict"] = setting(
        "nesting",
        "What is refused (C000H) before it is stored: nothing; nesting deeper than 64 sequences, which "
        "crashes some archives; or also wrong lengths and what cannot be parsed.",
        reload="live",
    )
    ring_kb: int = setting(
        1024,
        "Size of the ring of tickets between one acceptor and one worker, each way.",
        unit="kb",
        ge=64,
        le=1_048_576,
        reload="restart",
    )
    congested_percent: float = setting(
        80.0,
        "Use of slab or ring above which new associations are rejected as congestion.",
        unit="%",
        ge=10,
        le=99,
        reload="restart",
    )


class LogSection(Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least severity that is written.", reload="live"
    )
    format: Literal["text", "json"] = setting(
        "text", "One line of key=value an event, or one JSON object.", reload="restart"
    )


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


class Rule(Section):
    """A routing rule. Rules are tried in order; every rule that matches adds its destinations."""

    name: Name = setting(
        REQUIRED, "Name for logs and check --explain; no two rules share one.", reload="live"
    )
    when: dict[str, Any] = setting(
        {}, "What must hold for the rule to match; without it the rule matches everything.", reload="live"
    )
    to: tuple[str, ...] = setting(REQUIRED, "Names of destinations.", reload="live")
    stop: bool = setting(False, "Whether the rules below are skipped once this rule matches.", reload="live")


class Config(Section):
    """A whole configuration, checked."""

    router: RouterSection = RouterSection()
    listener: ListenerSection = ListenerSection()
    admin: AdminSection = AdminSection()
    spool: SpoolSection = SpoolSection()
    limits: LimitsSection = LimitsSection()
    log: LogSection = LogSection()
    sources: dict[Name, Source] = {}
    destinations: dict[Name, Destination] = {}
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_dependent_defaults(cls, data: Any) -> Any:
        """Give the defaults that follow from other settings: unknown_sources and calling_ae_title."""
        return fill_dependent_defaults(data) if isinstance(data, dict) else data

    def dump(self) -> bytes:
        """Encode for another process; `restore` gives an equal Config."""
        return self.model_dump_json().encode()

    @staticmethod
    def restore(data: bytes) -> Config:
        """Decode what `dump` returned."""
        return Config.model_validate_json(data)


def fill_dependent_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Return the table with unknown_sources and calling_ae_title filled in where the file leaves them out."""
    filled = dict(data)
    router = data.get("router", {})
    if data.get("sources") and isinstance(router, dict):
        filled["router"] = {"unknown_sources": "reject", **router}
    destinations = data.get("destinations")
    ae_title = router.get("ae_title") if isinstance(router, dict) else None
    if isinstance(destinations, dict) and isinstance(ae_title, str) and _is_ae_title(ae_title):
        filled["destinations"] = {
            name: {"calling_ae_title": ae_title, **table} if isinstance(table, dict) else table
            for name, table in destinations.items()
        }
    return filled


def _is_ae_title(text: str) -> bool:
    try:
        check_ae_title(text)
    except ValueError:
        return False
    return True
