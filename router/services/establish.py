"""Establish an association: ask for one, or decide about one that is asked for (PS3.8 section 7.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.protocol.association import Association
from router.protocol.indications import AssociateAccepted, AssociateRequested
from router.protocol.negotiation import AcceptedContext, negotiate_as_requestor
from router.services.steps import Call, NextIndication, Procedure
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The acceptor's answer: the A-ASSOCIATE-AC to send and the contexts it opens."""

    ac: AssociateAC
    contexts: tuple[AcceptedContext, ...]
    operations_max: int = 1


Decide = Callable[[AssociateRQ], Acceptance | AssociateRJ]


def request(association: Association, rq: AssociateRQ, acse_s: float | None) -> Procedure[AssociateAC]:
    """Ask for the association and take the answer; return the A-ASSOCIATE-AC.

    acse_s: how long the answer may take once the connection stands.
    Raises AssociationRejected, AssociationAborted, DeadlineExceeded (after an abort), PeerViolation for an
    acceptance that answers what was not proposed.
    """
    association.request(rq)
    indication = yield NextIndication(None)
    while not isinstance(indication, AssociateAccepted):
        indication = yield NextIndication(acse_s, deadline_name="acse_s")
    negotiated = negotiate_as_requestor(rq, indication.ac)
    association.use_contexts(negotiated.accepted)
    return indication.ac


def respond(association: Association, decide: Decide) -> Procedure[bool]:
    """Wait for the request (the ARTIM timer bounds it), let decide answer; return whether it was accepted."""
    indication = yield NextIndication(None)
    while not isinstance(indication, AssociateRequested):
        indication = yield NextIndication(None)
    answer = yield Call(decide, indication.rq)
    if isinstance(answer, AssociateRJ):
        association.reject(answer)
        return False
    association.operations_max = answer.operations_max
    association.accept(answer.ac, answer.contexts)
    return True
