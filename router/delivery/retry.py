"""What a failed delivery means: the class of the error, whose fault it is, and when to try again. Pure.

One table, from PS3.4 Table B.2-1 and PS3.8 Tables 9-21 and 9-26: `TREATMENTS` by class of error, and
`CLASSES_OF_STATUS` by range of status. Nothing is ever deleted by a failure: what is given up is *dead*,
which means kept, visible and releasable.
"""

from __future__ import annotations

import errno
import ssl
from dataclasses import dataclass
from enum import Enum, unique

from router.errors import (
    AssociationAborted,
    AssociationRejected,
    DeadlineExceeded,
    ProtocolError,
    RouterError,
    SpoolError,
)
from router.spool.faults import RecordDamaged
from router.standard.statuses import StatusClass, status_class

BACK_OFF_FACTOR = 2.0
JITTER = 0.2
"""A delay is spread by this share to either side, so that many routers do not knock together."""

BACK_OFF_STEPS_MAX = 32

SLOW_STEPS = 4
"""Doublings a slow class begins with: sixteen times the first wait."""

POISON_ABORTS_MAX = 3
"""Aborts (or stand-stills) during one instance that was alone under way, others passing in between."""

UNREADABLE_READINGS_MAX = 8
UNREADABLE_S_MIN = 3600.0
"""Readings of one instance that ended in an error of the medium, and how long after the first of them, at
least: a device that is away for some minutes, or a path that is switched over, gives up nothing."""

MEDIUM_ERRNOS = frozenset({errno.EIO, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN})
"""What a bad sector reads as, by kernel and file system; other errors say nothing of the bytes."""

REJECTED_PERMANENT = 1


class NoContext(RouterError):
    """The peer did not accept the presentation context an instance needs."""

    def __init__(self, abstract_syntax: str, transfer_syntax: str) -> None:
        super().__init__(f"no accepted presentation context for {abstract_syntax} in {transfer_syntax}")


@unique
class ErrorClass(Enum):
    """Why an attempt failed; the value is the ledger's word. TREATMENTS says what follows."""

    CONNECT = "connect"
    TLS = "tls"
    REJECTED_TRANSIENT = "rejected-transient"
    REJECTED_PERMANENT = "rejected-permanent"
    NO_CONTEXT = "no-context"
    ABORTED = "aborted"
    TIMEOUT = "timeout"
    POISON = "poison"
    BUSY = "busy"
    NOT_SUPPORTED = "not-supported"
    REFUSED = "refused"
    SPOOL = "spool"
    UNREADABLE = "unreadable"


@unique
class Blame(Enum):
    """Who has to wait after a failure.

    DESTINATION: all of it. INSTANCE: the one instance, its neighbours pass. SUSPECT: the destination, and the
    instance longer, so that its neighbours go first and show whose fault it was.
    """

    DESTINATION = "destination"
    INSTANCE = "instance"
    SUSPECT = "suspect"


@unique
class Limit(Enum):
    """When an instance is given up, which means dead: kept, visible and releasable."""

    NEVER = "never"
    ATTEMPTS = "attempts_max of the destination"
    POISON = "POISON_ABORTS_MAX while neighbours pass"
    READINGS = "UNREADABLE_READINGS_MAX over UNREADABLE_S_MIN"
    AT_ONCE = "at once"


@unique
class Alternate(Enum):
    """When the destination's `alternate`, if it has one, takes an instance over."""

    NEVER = "never"
    WHEN_DOWN = "after alternate_after_s without a success"
    WHEN_GIVEN_UP = "in place of being dead"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done about an error class.

    is_slow: people must change a configuration before it can go well, so the waits begin longer (SLOW_STEPS).
    """

    blame: Blame
    limit: Limit
    alternate: Alternate
    is_slow: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether the attempt counts against the instance's attempts_max."""
        return self.limit is Limit.ATTEMPTS


TREATMENTS: dict[ErrorClass, Treatment] = {
    # The destination cannot be reached, or takes nobody: whatever the instance.
    ErrorClass.CONNECT: Treatment(Blame.DESTINATION, Limit.NEVER, Alternate.WHEN_DOWN),
    ErrorClass.TLS: Treatment(Blame.DESTINATION, Limit.NEVER, Alternate.WHEN_DOWN),
    ErrorClass.REJECTED_TRANSIENT: Treatment(Blame.DESTINATION, Limit.NEVER, Alternate.WHEN_DOWN),
    ErrorClass.REJECTED_PERMANENT: Treatment(
        Blame.DESTINATION, Limit.ATTEMPTS, Alternate.WHEN_GIVEN_UP, is_slow=True
    ),
    # It answers, but never took or takes this kind of instance.
    ErrorClass.NO_CONTEXT: Treatment(Blame.INSTANCE, Limit.ATTEMPTS, Alternate.WHEN_GIVEN_UP, is_slow=True),
    ErrorClass.NOT_SUPPORTED: Treatment(
        Blame.INSTANCE, Limit.ATTEMPTS, Alternate.WHEN_GIVEN_UP, is_slow=True
    ),
    # It ended or stood still with an instance under way: either may be to blame.
    ErrorClass.ABORTED: Treatment(Blame.SUSPECT, Limit.POISON, Alternate.WHEN_DOWN),
    ErrorClass.TIMEOUT: Treatment(Blame.SUSPECT, Limit.POISON, Alternate.WHEN_DOWN),
    # What made one archive fall is not sent to the next one.
    ErrorClass.POISON: Treatment(Blame.INSTANCE, Limit.AT_ONCE, Alternate.NEVER),
    # It answered a failure status. Out of resources: one instance alone may be too large for it, so the
    # destination waits only when several are refused in a row.
    ErrorClass.BUSY: Treatment(Blame.INSTANCE, Limit.NEVER, Alternate.WHEN_DOWN),
    ErrorClass.REFUSED: Treatment(Blame.INSTANCE, Limit.ATTEMPTS, Alternate.WHEN_GIVEN_UP),
    # Our own fault: the bytes are damaged, for everybody; or they cannot be read just now.
    ErrorClass.SPOOL: Treatment(Blame.INSTANCE, Limit.ATTEMPTS, Alternate.NEVER),
    ErrorClass.UNREADABLE: Treatment(Blame.INSTANCE, Limit.READINGS, Alternate.NEVER),
}


OURS = frozenset({ErrorClass.SPOOL, ErrorClass.UNREADABLE})
"""Failures in which the peer had no part."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. status: that of the C-STORE-RSP, or None. text: for log and ledger, no patient
    data. is_of_medium: our own disk could not read the dataset where it lies."""

    error_class: ErrorClass
    status: int | None
    text: str
    is_of_medium: bool = False

    @property
    def treatment(self) -> Treatment:
        return TREATMENTS[self.error_class]

    @property
    def is_ours(self) -> bool:
        """Whether the peer had no part in it."""
        return self.error_class in OURS


def is_delivered(status: int) -> bool:
    """Whether a C-STORE-RSP status means that the peer has the instance: success, or a warning (PS3.4
    B.2.3)."""
    return status_class(status) in (StatusClass.SUCCESS, StatusClass.WARNING)


CLASSES_OF_STATUS: tuple[tuple[int, int, ErrorClass], ...] = (
    (0x0122, 0x0122, ErrorClass.NOT_SUPPORTED),  # SOP class not supported
    (0x0124, 0x0124, ErrorClass.NOT_SUPPORTED),  # not authorised
    (0x0213, 0x0213, ErrorClass.BUSY),  # resource limitation
    (0xA700, 0xA7FF, ErrorClass.BUSY),  # out of resources
    (0x0000, 0xFFFF, ErrorClass.REFUSED),  # A9xx, Cxxx, 0117, 0110 and all that nobody has defined
)
"""First and last status of each range, the first that fits counts (PS3.4 Table B.2-1, PS3.7 Annex C)."""


def failure_of_status(status: int) -> Failure:
    """Classify the status of a C-STORE-RSP that is not a delivery."""
    kind = next((c for first, last, c in CLASSES_OF_STATUS if first <= status <= last), ErrorClass.REFUSED)
    return Failure(kind, status, f"status {status:04X}H")


def failure_of_error(error: BaseException) -> Failure:
    """Classify what an association or its opening raised."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, AssociationRejected):
        permanent = error.result == REJECTED_PERMANENT
        kind = ErrorClass.REJECTED_PERMANENT if permanent else ErrorClass.REJECTED_TRANSIENT
        return Failure(kind, None, text)
    if isinstance(error, DeadlineExceeded):
        kind = ErrorClass.CONNECT if error.deadline == "connect_s" else ErrorClass.TIMEOUT
        return Failure(kind, None, text)
    if isinstance(error, AssociationAborted | ProtocolError):
        return Failure(ErrorClass.ABORTED, None, text)
    if isinstance(error, SpoolError):
        return failure_of_reading(error)
    if isinstance(error, NoContext):
        return Failure(ErrorClass.NO_CONTEXT, None, text)
    if isinstance(error, ssl.SSLError):
        return Failure(ErrorClass.TLS, None, text)
    return Failure(ErrorClass.CONNECT, None, text)


def failure_of_reading(error: BaseException) -> Failure:
    """Classify what reading a dataset raised: only what shows damage counts against the instance."""
    kind = ErrorClass.SPOOL if isinstance(error, RecordDamaged) else ErrorClass.UNREADABLE
    reason = error.__cause__
    is_of_medium = isinstance(reason, OSError) and reason.errno in MEDIUM_ERRNOS
    return Failure(kind, None, f"{type(error).__name__}: {error}", is_of_medium)


def back_off_s(attempts: int, first_s: float, longest_s: float, spread: float) -> float:
    """Return the wait before the next attempt in seconds.

    attempts: failed ones so far, at least 1. spread: a random number in [0, 1).
    """
    steps = min(attempts - 1, BACK_OFF_STEPS_MAX)
    delay = min(first_s * BACK_OFF_FACTOR**steps, longest_s)
    return delay * (1.0 - JITTER + 2 * JITTER * spread)
