"""Every setting, once: type, unit, default, range, reload class and one sentence.

Those of senders and destinations stand in peers.py, those of TLS in tls_settings.py.
The example configuration, `check` and the reload plan are all made from these models. Times end in _s, sizes
in _kb, _mb or _gb (binary: 1 kb = 1024 bytes), limits in _max. A model is immutable once loaded.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from router.config.peers import Ack, Destination, Source
from router.config.section import REQUIRED, Section, setting
from router.config.tls_settings import ListenerTls
from router.config.values import (
    AETitle,
    Host,
    Name,
    Path,
    Port,
    check_ae_title,
)


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
    cpu_affinity: Literal["auto", "on", "off"] = setting(
        "auto",
        "Whether each worker keeps to a CPU of its own. auto: if acceptors and workers are as many as the "
        "CPUs that the router may use, or more. Several routers on one machine: off.",
        reload="restart",
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
    sources: dict[Name, Source] = Field(default_factory=dict)
    destinations: dict[Name, Destination] = Field(default_factory=dict)
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
