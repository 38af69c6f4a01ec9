"""What a failed delivery means: the class of the error, whose fault it is, and when to try again. Pure.

One table, from PS3.4 Table B.2-1 and PS3.8 Tables 9-21 and 9-26. Nothing is ever deleted by a failure: what
is given up is *dead*, which means kept, visible and releasable.
"""

from __future__ import annotations

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
from router.standard.statuses import StatusClass, status_class

BACK_OFF_FACTOR = 2.0
JITTER = 0.2
"""A delay is spread by this share to either side, so that many routers do not knock together."""

BACK_OFF_STEPS_MAX = 32

REJECTED_PERMANENT = 1


class NoContext(RouterError):
    """The peer did not accept the presentation context an instance needs."""

    def __init__(self, abstract_syntax: str, transfer_syntax: str) -> None:
        super().__init__(f"no accepted presentation context for {abstract_syntax} in {transfer_syntax}")


@unique
class ErrorClass(Enum):
    """Why an attempt failed; the value is the metric's label and the ledger's word."""

    CONNECT = "connect"
    TLS = "tls"
    REJECTED_TRANSIENT = "rejected-transient"
    REJECTED_PERMANENT = "rejected-permanent"
    NO_CONTEXT = "no-context"
    ABORTED = "aborted"
    TIMEOUT = "timeout"
    BUSY = "busy"
    NOT_SUPPORTED = "not-supported"
    REFUSED = "refused"
    SPOOL = "spool"


@unique
class Blame(Enum):
    """Who has to wait: the whole destination, or the one instance."""

    DESTINATION = "destination"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done about an error class.

    is_counted: the instance's attempts_max applies, after which it is dead; otherwise it is tried for ever.
    """

    blame: Blame
    is_counted: bool


TREATMENTS: dict[ErrorClass, Treatment] = {
    ErrorClass.CONNECT: Treatment(Blame.DESTINATION, is_counted=False),
    ErrorClass.TLS: Treatment(Blame.DESTINATION, is_counted=False),
    ErrorClass.REJECTED_TRANSIENT: Treatment(Blame.DESTINATION, is_counted=False),
    ErrorClass.REJECTED_PERMANENT: Treatment(Blame.DESTINATION, is_counted=True),
    ErrorClass.NO_CONTEXT: Treatment(Blame.INSTANCE, is_counted=True),
    ErrorClass.ABORTED: Treatment(Blame.INSTANCE, is_counted=False),
    ErrorClass.TIMEOUT: Treatment(Blame.DESTINATION, is_counted=False),
    ErrorClass.BUSY: Treatment(Blame.INSTANCE, is_counted=False),
    ErrorClass.NOT_SUPPORTED: Treatment(Blame.INSTANCE, is_counted=True),
    ErrorClass.REFUSED: Treatment(Blame.INSTANCE, is_counted=True),
    ErrorClass.SPOOL: Treatment(Blame.INSTANCE, is_counted=True),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. status: that of the C-STORE-RSP, or None. text: for log and ledger, no patient
    data."""

    error_class: ErrorClass
    status: int | None
    text: str

    @property
    def treatment(self) -> Treatment:
        return TREATMENTS[self.error_class]


def is_delivered(status: int) -> bool:
    """Whether a C-STORE-RSP status means that the peer has the instance: success, or a warning (PS3.4
    B.2.3)."""
    return status_class(status) in (StatusClass.SUCCESS, StatusClass.WARNING)


def failure_of_status(status: int) -> Failure:
    """Classify the status of a C-STORE-RSP that is not a delivery (PS3.4 Table B.2-1, PS3.7 Annex C)."""
    text = f"status {status:04X}H"
    if 0xA700 <= status <= 0xA7FF or status == 0x0213:
        return Failure(ErrorClass.BUSY, status, text)
    if status in (0x0122, 0x0124):
        return Failure(ErrorClass.NOT_SUPPORTED, status, text)
    return Failure(ErrorClass.REFUSED, status, text)


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
        return Failure(ErrorClass.SPOOL, None, text)
    if isinstance(error, NoContext):
        return Failure(ErrorClass.NO_CONTEXT, None, text)
    if isinstance(error, ssl.SSLError):
        return Failure(ErrorClass.TLS, None, text)
    return Failure(ErrorClass.CONNECT, None, text)


def back_off_s(attempts: int, first_s: float, longest_s: float, spread: float) -> float:
    """Return the wait before the next attempt in seconds.

    attempts: failed ones so far, at least 1. spread: a random number in [0, 1).
    """
    steps = min(attempts - 1, BACK_OFF_STEPS_MAX)
    delay = min(first_s * BACK_OFF_FACTOR**steps, longest_s)
    return delay * (1.0 - JITTER + 2 * JITTER * spread)
