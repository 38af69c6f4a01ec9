"""How a requestor gets its association: connect, ask, and take note of what was answered."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from router.api import events as evt
from router.api import pydicom_loading
from router.api.address import AddressInformation
from router.api.negotiation_items import information_of
from router.api.pdu_primitives import associate_request, associate_response
from router.api.presentation import PresentationContext, require_contexts
from router.drivers.connect import TlsChoice, open_transport
from router.errors import AssociationAborted, AssociationRejected, DeadlineExceeded, PeerViolation
from router.protocol.negotiation import negotiate_as_requestor
from router.services import establish
from router.standard.reasons import describe_rejection
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ, ProposedContext

if TYPE_CHECKING:
    from router.api.association import Association
    from router.api.association_state import AssociationState
    from router.api.negotiation_items import NegotiationItem
    from router.protocol.association import Association as ProtocolAssociation
    from router.services.steps import Procedure

LOGGER = logging.getLogger("router.association")


REQUESTED_CONTEXTS_MAX = 128
"""Presentation context IDs are odd and 1 to 255 (PS3.8 section 9.3.2.2)."""


def prepare_request(
    assoc: AssociationState,
    addr: str | tuple[str, int, int],
    port: int,
    contexts: list[PresentationContext] | None,
    ae_title: str,
    max_pdu: int,
    ext_neg: Iterable[NegotiationItem] | None,
    bind_address: tuple[str, int] | tuple[str, int, int, int] | None,
) -> tuple[Any, ...] | None:
    """Write into an association what it shall ask for; return the address to bind to.

    See ApplicationEntity.associate() for the arguments and for what is raised.
    """
    target = AddressInformation.from_addr_port(addr, port)
    bound = None if bind_address is None else AddressInformation.from_tuple(bind_address).as_tuple
    ae, requestor, acceptor = assoc._ae, assoc.requestor, assoc.acceptor
    requestor.ae_title = ae.ae_title
    acceptor.ae_title = ae_title
    acceptor.address_info = target
    requestor.maximum_length = max_pdu
    requestor._implementation_class_uid = ae._implementation_class_uid
    requestor._implementation_version_name = ae._implementation_version_name
    requestor.requested_contexts = _contexts_to_request(
        ae.requested_contexts if contexts is None else contexts
    )
    for item in ext_neg or ():
        requestor.add_negotiation_item(item)
    return bound


def _contexts_to_request(contexts: list[PresentationContext]) -> list[PresentationContext]:
    require_contexts(contexts)
    if not contexts:
        raise RuntimeError("At least one requested presentation context is required to associate")
    if len(contexts) > REQUESTED_CONTEXTS_MAX:
        raise ValueError(f"not more than {REQUESTED_CONTEXTS_MAX} presentation contexts can be requested")
    return contexts


def request_association(
    assoc: Association,
    bind_address: tuple[Any, ...] | None,
    tls: TlsChoice | None,
) -> None:
    """Connect with the acceptor's address and negotiate; the association's state tells how it ended.

    Raises socket.gaierror if the acceptor's name has no address, ValueError for what cannot be sent.
    """
    pydicom_loading.load()
    LOGGER.info("Requesting Association")
    rq = request_of(assoc)
    transport = _connect(assoc, bind_address, tls)
    if transport is None:
        assoc._note_aborted(AssociationAborted(2, 0))
        return
    connection = assoc._attach(transport, transport.sock.getpeername())
    assoc._notify(evt.EVT_CONN_OPEN, {"address": assoc._peer_address})
    core = assoc._protocol
    assert core is not None
    with contextlib.suppress(DeadlineExceeded, AssociationAborted, PeerViolation, AssociationRejected):
        connection.run(negotiate(assoc, core, rq))


def negotiate(assoc: AssociationState, core: ProtocolAssociation, rq: AssociateRQ) -> Procedure[None]:
    """The main procedure until there is an answer; the association's state is set before it goes on."""
    try:
        ac = yield from establish.request(core, rq, assoc.acse_timeout)
    except AssociationRejected as rejection:
        _note_rejection(assoc, rq, AssociateRJ(rejection.result, rejection.source, rejection.reason))
    except DeadlineExceeded:
        LOGGER.error("ACSE timeout reached while waiting for response to association request")
        assoc._abort(0, 0)
    except (AssociationAborted, PeerViolation) as error:
        LOGGER.error(f"Association request failed: {error}")
        assoc._note_aborted(error)
        raise
    else:
        _note_acceptance(assoc, rq, ac)


def request_of(assoc: AssociationState) -> AssociateRQ:
    requestor, acceptor = assoc.requestor, assoc.acceptor
    contexts = tuple(
        ProposedContext(context.context_id or 0, context.abstract_uid, context.transfer_uids)
        for context in requestor.requested_contexts
    )
    rq = AssociateRQ(
        acceptor.ae_title.strip(),
        requestor.ae_title.strip(),
        contexts,
        information_of(requestor.user_information),
    )
    requestor.primitive = associate_request(rq)
    return rq


def _connect(assoc: AssociationState, bind_address: tuple[Any, ...] | None, tls: TlsChoice | None) -> Any:
    """Return the transport, or None: no peer there, or no TLS with it."""
    target = assoc.acceptor.address_info
    assert target is not None
    try:
        return open_transport(
            target.address,
            target.port,
            assoc.connection_timeout,
            bind_address=bind_address,
            flow_info=target.flowinfo,
            scope_id=target.scope_id,
            tls=tls,
            tls_s=assoc.acse_timeout,
        )
    except socket.gaierror:
        raise
    except (OSError, DeadlineExceeded) as error:
        LOGGER.error("Association request failed: unable to connect to remote")
        LOGGER.error(f"TCP Initialisation Error: {error}")
        return None


def _note_rejection(assoc: AssociationState, rq: AssociateRQ, rejection: AssociateRJ) -> None:
    assoc.acceptor.primitive = associate_response(rq, rejection)
    assoc.is_rejected = True
    text = describe_rejection(rejection.result, rejection.source, rejection.reason)
    LOGGER.error(f"Association Rejected: {text}")
    assoc._notify(evt.EVT_REJECTED)


def _note_acceptance(assoc: AssociationState, rq: AssociateRQ, ac: AssociateAC) -> None:
    """Take note of what was negotiated; without any context the association is of no use."""
    assoc.acceptor.primitive = associate_response(rq, ac)
    outcome = negotiate_as_requestor(rq, ac)
    proposed = {context.context_id: context for context in assoc.requestor.requested_contexts}
    for accepted in outcome.accepted:
        context = PresentationContext()
        context._context_id = accepted.context_id
        context._abstract_syntax = accepted.abstract_syntax
        context._transfer_syntax = [accepted.transfer_syntax]
        context.result = 0
        context._as_scu, context._as_scp = accepted.as_scu, accepted.as_scp
        assoc._contexts[accepted.context_id] = context
    for rejected in outcome.rejected:
        context = proposed[rejected.context_id].copy()
        context.result = rejected.result
        assoc._rejected.append(context)
    if not assoc._contexts:
        assoc._notify(evt.EVT_ACCEPTED)
        LOGGER.error("No accepted presentation contexts")
        assoc._abort(2, 0)
        return
    LOGGER.info("Association Accepted")
    assoc._notify(evt.EVT_ACCEPTED)
    assoc.is_established = True
    assoc._start_watching()
    assoc._notify(evt.EVT_ESTABLISHED)
