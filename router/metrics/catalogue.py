"""The catalogue: every metric of the router once, and where its numbers stand in a page.

Numbers are u64. What is not whole is kept scaled: seconds as microseconds (`scale` = 1,000,000), so a cell of
1,500,000 is exposed as 1.5. Labels are bounded: either a fixed set of values, or the names of a table of
fixed size in the page itself (destinations, listeners), whose entry 0 takes what does not fit. No UID, no
AE title of a peer and no address is ever a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod
from zlib import crc32

PREFIX = "dicom_router_"
MICROSECONDS = 1_000_000
DESTINATIONS_MAX = 128  # with entry 0, "other"
LISTENERS_MAX = 8
OTHER = "other"

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG_SECONDS_BUCKETS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
    30.0,
    60.0,
    300.0,
    1800.0,
    21600.0,
)
COUNT_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

ACCEPTOR, WORKER, SUPERVISOR, ADMIN = "acceptor", "worker", "supervisor", "admin"
ROLES = (ACCEPTOR, WORKER, SUPERVISOR, ADMIN)


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(Enum):
    """How the gauges of several processes become one number."""

    SUM = "sum"
    MAX = "max"
    EACH = "each"  # they do not: one sample per process, with the label `process`


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. name: without PREFIX and, for counters, without `_total`. roles: who writes it."""

    name: str
    kind: Kind
    help: str
    roles: tuple[str, ...]
    labels: tuple[str, ...] = ()
    scale: int = 1
    merge: Merge = Merge.SUM
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


# Label values that are fixed. A value outside is refused when the slot is looked up.
FIXED_LABELS: dict[str, tuple[str, ...]] = {
    "status_class": ("success", "warning", "failure"),
    "outcome": ("accepted", "rejected", "released", "aborted", "lost"),
    "probe": ("silent", "stray"),
    "answer": ("abort", "reject", "status"),
    "handshake": ("done", "certificate", "protocol", "plain", "timeout", "closed"),
    "cause": ("descriptors", "pending"),
    "relief": ("paused", "rejected", "refused"),
    "state": ("pending", "retrying", "held", "dead"),
    "circuit": ("closed", "half-open", "open"),
    "error": ("connect", "tls", "rejected", "aborted", "timeout", "context", "status", "spool"),
    "action": ("hold", "reject", "discard"),
    "handling": ("forwarded", "skipped"),
    "fault": ("nesting", "malformed"),
    "direction": ("tickets", "receipts"),
    "codec": ("compiled", "reference"),
    "role": ROLES,
}
# Label values that are names from the configuration: how many a page has room for.
NAMED_LABELS: dict[str, int] = {"destination": DESTINATIONS_MAX, "listener": LISTENERS_MAX}

METRICS: list[Metric] = []


def _counter(
    name: str, text: str, roles: tuple[str, ...], labels: tuple[str, ...] = (), scale: int = 1
) -> Metric:
    return _listed(Metric(name, Kind.COUNTER, text, roles, labels, scale))


def _gauge(
    name: str,
    text: str,
    roles: tuple[str, ...],
    labels: tuple[str, ...] = (),
    *,
    scale: int = 1,
    merge: Merge = Merge.SUM,
) -> Metric:
    return _listed(Metric(name, Kind.GAUGE, text, roles, labels, scale, merge))


def _histogram(
    name: str,
    text: str,
    roles: tuple[str, ...],
    labels: tuple[str, ...] = (),
    *,
    buckets: tuple[float, ...] = SECONDS_BUCKETS,
    scale: int = MICROSECONDS,
) -> Metric:
    return _listed(Metric(name, Kind.HISTOGRAM, text, roles, labels, scale, Merge.SUM, buckets))


def _listed(metric: Metric) -> Metric:
    METRICS.append(metric)
    return metric


_A, _W, _S = (ACCEPTOR,), (WORKER,), (SUPERVISOR,)

INSTANCES_RECEIVED = _counter(
    "instances_received", "C-STORE requests answered.", _A, ("listener", "status_class")
)
RECEIVED_BYTES = _counter(
    "received_bytes", "Dataset bytes of C-STORE requests answered.", _A, ("listener", "status_class")
)
ECHOES = _counter("echoes", "C-ECHO requests answered.", _A, ("listener",))
INBOUND_ASSOCIATIONS = _counter(
    "inbound_associations",
    "Associations requested of us: accepted or rejected; then released, aborted by either side, or lost.",
    _A,
    ("listener", "outcome"),
)
INBOUND_OPEN = _gauge("inbound_associations_open", "Associations open with senders.", _A, ("listener",))
PROBES = _counter(
    "probes",
    "Connections that ended without an A-ASSOCIATE-RQ: silent (no byte) or stray (other bytes).",
    _A,
    ("listener", "probe"),
)
TLS_HANDSHAKES = _counter(
    "tls_handshakes",
    "TLS handshakes with senders: done, or failed by the peer's certificate, by protocol version or cipher "
    "suites, for bytes that are no TLS, by time, or by the peer's close.",
    _A,
    ("handshake",),
)
TURNED_AWAY = _counter(
    "connections_turned_away",
    "Connections closed because descriptors ran out, or because too many were pending from their address.",
    _A,
    ("cause",),
)
PENDING_CONNECTIONS = _gauge(
    "pending_connections",
    "Connections without an association: before it, or rejected and not closed yet.",
    _A,
)
VIOLATIONS = _counter(
    "violations",
    "Protocol violations by senders, by the answer they got.",
    _A,
    ("listener", "answer"),
)
PRESSURE_STAGE = _gauge(
    "pressure_stage",
    "Back-pressure: 0 open, 1 reading pauses, 2 associations are rejected, 3 instances are refused.",
    _A,
    merge=Merge.EACH,
)
PRESSURE_RELIEFS = _counter(
    "pressure_reliefs", "Reads paused, associations rejected, instances refused.", _A, ("relief",)
)
SLAB_SLOTS_USED = _gauge("slab_slots_used", "Slots of shared memory in use.", _A, merge=Merge.EACH)
SLAB_SLOTS_TOTAL = _gauge("slab_slots_total", "Slots of shared memory there are.", _A, merge=Merge.EACH)
SPILLS = _counter("spills", "Datasets too large for shared memory, spilled to a file while arriving.", _A)
SPILLED_BYTES = _counter("spilled_bytes", "Bytes of spilled datasets.", _A)
LOANS_OUTSTANDING = _gauge("loans_outstanding", "Datasets on loan to workers.", _A)
TICKETS_SENT = _counter("tickets_sent", "Tickets sent to workers.", _A)
TICKETS_RESENT = _counter("tickets_resent", "Tickets sent again after a worker died.", _A)
RECEIPTS_OVERDUE = _counter("receipts_overdue", "Tickets whose receipt did not come in time.", _A)
RECEIVE_SECONDS = _histogram(
    "receive_seconds", "From a C-STORE request's command to its last dataset byte.", _A, ("listener",)
)
ANSWER_SECONDS = _histogram(
    "answer_seconds", "From a dataset's last byte to its C-STORE response.", _A, ("listener",)
)

RING_USED_BYTES = _gauge(
    "ring_used_bytes", "Bytes of records sent and not yet taken.", (ACCEPTOR, WORKER), ("direction",)
)
RING_CAPACITY_BYTES = _gauge(
    "ring_capacity_bytes", "Bytes the rings have room for.", (ACCEPTOR, WORKER), ("direction",)
)
MALFORMED_RECORDS = _counter(
    "malformed_records", "Records between our processes that did not decode.", (ACCEPTOR, WORKER)
)

INSTANCES_SENT = _counter(
    "instances_sent", "C-STORE responses from destinations.", _W, ("destination", "status_class")
)
SENT_BYTES = _counter(
    "sent_bytes", "Dataset bytes of C-STORE responses.", _W, ("destination", "status_class")
)
DELIVERY_ERRORS = _counter(
    "delivery_errors", "Deliveries that failed, by class of error.", _W, ("destination", "error")
)
CIRCUIT = _gauge(
    "destination_circuit",
    "Workers whose circuit breaker of a destination is in this state: closed means it is sent to.",
    _W,
    ("destination", "circuit"),
)
CIRCUIT_OPENED = _counter(
    "destination_circuit_opened",
    "Times a destination was found ill after it had been well.",
    _W,
    ("destination",),
)
DIVERTED = _counter(
    "diverted", "Instances owed to a destination that its alternate has taken over.", _W, ("destination",)
)
OUTBOUND_ASSOCIATIONS = _counter(
    "outbound_associations",
    "Associations we requested: accepted or rejected; then released, aborted by either side, or lost.",
    _W,
    ("destination", "outcome"),
)
OUTBOUND_OPEN = _gauge(
    "outbound_associations_open", "Associations open with destinations.", _W, ("destination",)
)
QUEUE_DEPTH = _gauge(
    "queue_depth", "Instances owed to a destination, by state.", _W, ("destination", "state")
)
QUEUE_OLDEST_SECONDS = _gauge(
    "queue_oldest_age_seconds",
    "Age of the oldest instance owed to a destination.",
    _W,
    ("destination", "state"),
    scale=MICROSECONDS,
    merge=Merge.MAX,
)
UNMATCHED = _counter("unmatched", "Instances no rule matched, by what was done.", _W, ("action",))
STRUCTURE_REFUSED = _counter(
    "structure_refused", "Instances refused by the structural scan, by what is wrong.", _W, ("fault",)
)
UNMATCHED_HELD = _gauge("unmatched_held", "Instances no rule matched that are held.", _W)
STORE_SECONDS = _histogram("store_seconds", "From a ticket to its instance being on stable storage.", _W)
DELIVER_SECONDS = _histogram(
    "deliver_seconds", "From a C-STORE request to its response.", _W, ("destination",)
)
END_TO_END_SECONDS = _histogram(
    "end_to_end_seconds",
    "From an instance's last byte in to the destination's response.",
    _W,
    ("destination",),
    buckets=LONG_SECONDS_BUCKETS,
)
SPOOL_BYTES = _gauge("spool_bytes", "Bytes of spool files.", _W)
SPOOL_SEGMENTS = _gauge("spool_segments", "Segment files of the spool.", _W)
SPOOL_FREE_BYTES = _gauge("spool_free_bytes", "Free bytes on the spool's file system.", _W, merge=Merge.MAX)
SPOOL_STAGE = _gauge(
    "spool_stage",
    "What the spool takes: 0 everything, 1 above its watermark, 2 full, 3 failed.",
    _W,
    merge=Merge.EACH,
)
SPOOL_FAILED = _gauge("spool_failed", "1 if a spool failed or is full and nothing is stored.", _W)
SYNC_SECONDS = _histogram("spool_sync_seconds", "Duration of one sync of the spool.", _W)
SYNC_FAILURES = _counter("spool_sync_failures", "Syncs of the spool that failed.", _W)
GROUP_SIZE = _histogram(
    "group_size", "Instances made durable by one sync.", _W, buckets=COUNT_BUCKETS, scale=1
)
RECOVERED_ENTRIES = _counter("recovered_entries", "Instances found in the spool at a start.", _W)
QUARANTINED_ENTRIES = _counter("quarantined_entries", "Damaged spool records set aside.", _W)
MISSING_DELIVERIES = _counter(
    "missing_deliveries", "Deliveries whose spool file was gone at a start; they are dead.", _W
)
UID_CONFLICTS = _counter(
    "uid_conflicts", "Instances stored whose UID came before with other bytes; all are forwarded.", _W
)
DUPLICATES = _counter(
    "duplicates", "Instances that came again byte for byte, by what was done.", _W, ("handling",)
)

PROCESS_RESTARTS = _counter("process_restarts", "Processes started again after they died.", _S, ("role",))
READY = _gauge("ready", "1 if every process is ready and none is draining.", _S)
CONFIG_GENERATION = _gauge("config_generation", "Configurations applied since the start.", _S)
CONFIG_RELOADS = _counter("config_reloads", "Reloads applied.", _S)
RELOAD_FAILURES = _counter("config_reload_failures", "Reloads refused because of errors.", _S)

CODEC_INFO = _gauge("codec_info", "1 for the codec in use.", ROLES, ("codec",), merge=Merge.MAX)
LOG_LINES_SUPPRESSED = _counter("log_lines_suppressed", "Log lines left out by rate limits.", ROLES)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def values_of(label: str) -> int:
    """Return how many values a label can have."""
    return NAMED_LABELS[label] if label in NAMED_LABELS else len(FIXED_LABELS[label])


def cells_of(metric: Metric) -> int:
    """Return the cells of one label combination: a histogram's buckets, +Inf and the sum; else one."""
    return len(metric.buckets) + 2 if metric.kind is Kind.HISTOGRAM else 1


def _lay_out() -> tuple[dict[str, int], int]:
    offsets, total = {}, 0
    for metric in METRICS:
        offsets[metric.name] = total
        total += cells_of(metric) * prod(values_of(label) for label in metric.labels)
    return offsets, total


OFFSETS, CELLS_TOTAL = _lay_out()
# Both sides of a page must mean the same cells; a mixed installation is found out when the page is opened.
LAYOUT_CHECK = crc32(repr([(m, OFFSETS[m.name]) for m in METRICS]).encode()) << 32 | CELLS_TOTAL
