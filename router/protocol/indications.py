"""What the protocol core reports to its user, in the Standard's words (PS3.8 section 7, PS3.7 section 6.3).

ConnectionClosed is the last indication of every association and comes exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.wire.pdus import AssociateAC, AssociateRQ


@dataclass(frozen=True, slots=True)
class TransportOpened:
    """The transport connection stands: confirmed to a requestor, indicated to an acceptor (PS3.8 9.1.2)."""


@dataclass(frozen=True, slots=True)
class AssociateRequested:
    """A-ASSOCIATE indication: the peer asks for an association (PS3.8 section 7.1.2.2)."""

    rq: AssociateRQ


@dataclass(frozen=True, slots=True)
class AssociateAccepted:
    """A-ASSOCIATE confirmation, accept (PS3.8 section 7.1.2.3). The acceptor is told nothing: it decided."""

    ac: AssociateAC


@dataclass(frozen=True, slots=True)
class AssociateRejected:
    """A-ASSOCIATE confirmation, reject (PS3.8 section 7.1.2.5).

    result, source, reason: as received, not checked against PS3.8 Table 9-21.
    """

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """One whole DIMSE message, joined from its P-DATA indications (PS3.8 section 7.6, PS3.7 section 6.3.1).

    command: element tag -> decoded value.
    dataset: what the dataset sink's finish() returned; None without a dataset.
    """

    context_id: int
    command: Mapping[int, Any]
    dataset: object


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A-RELEASE indication: the peer asks for an orderly end (PS3.8 section 7.2.2).

    collision: both sides asked at once. The association's requestor answers now; its acceptor answers after
    its own ReleaseConfirmed (PS3.8 section 7.2.2).
    """

    collision: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseConfirmed:
    """A-RELEASE confirmation: the peer answered our release (PS3.8 section 7.2.2)."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """A-ABORT or A-P-ABORT indication: the association is over, messages may be lost (PS3.8 7.3, 7.4).

    source, reason: PS3.8 Table 9-26; a lost connection has source 2 and reason 0.
    by_peer: an A-ABORT PDU came from the peer; False when our own side gave up or the connection was lost.
    text: what happened and where, free of patient data.
    """

    source: int
    reason: int
    by_peer: bool
    text: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The upper layer is back in Sta1: nothing more will be reported (PS3.8 section 9.1.4).

    text: why, also where no association was there to abort (ARTIM expired, an invalid PDU in place of
    A-ASSOCIATE-RQ).
    """

    text: str


Indication = (
    TransportOpened
    | AssociateRequested
    | AssociateAccepted
    | AssociateRejected
    | MessageReceived
    | ReleaseRequested
    | ReleaseConfirmed
    | Aborted
    | ConnectionClosed
)
