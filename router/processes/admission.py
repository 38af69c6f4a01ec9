"""Who may associate, and with what: the acceptor's answer to an A-ASSOCIATE-RQ.

Access first (called title, source), then congestion, then limits, then presentation contexts. Senders that a
source names come before unknown ones: they are turned away later, and have a share of the associations to
themselves. Rejections are
those of PS3.8 Table 9-21: 1/1/7 called AE title, 1/1/3 calling AE title, 2/3/1 temporary congestion, 2/3/2
local limit exceeded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from router.config.schema import Config
from router.config.sources import Credentials, SourceTable
from router.protocol.negotiation import (
    AnyStorage,
    answer_asynchronous_operations,
    check_request,
    negotiate_as_acceptor,
)
from router.services.establish import Acceptance
from router.standard.reasons import (
    REJECT_CALLING_AE_TITLE_NOT_RECOGNISED,
    REJECT_LOCAL_LIMIT_EXCEEDED,
    REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION,
    REJECT_SOURCE_SERVICE_USER,
    REJECT_TEMPORARY_CONGESTION,
    REJECTED_PERMANENT,
    REJECTED_TRANSIENT,
)
from router.standard.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ
from router.wire.user_information import UserInformation

PERFORMED_MAX = 1
"""Operations we would have outstanding with a sender: none are ever sent."""


class TurnedAway(Enum):
    """Who is told to come back later (2/3/1)."""

    NOBODY = 0
    UNKNOWN = 1
    EVERYBODY = 2


@dataclass(frozen=True, slots=True)
class Applicant:
    """What is known of a sender beside its request. credentials: None for a connection without TLS.

    associations_open: those of its address that are accepted now, without this one.
    """

    address: str
    credentials: Credentials | None = None
    associations_open: int = 0


@dataclass(slots=True)
class Admitted:
    """What is known of an accepted association. source: name of its [sources.X], or ""."""

    source: str
    ack: str
    answer: Acceptance


class Admission:
    """The rules of access of one configuration; replaced as a whole at a reload, counts live on."""

    def __init__(self, config: Config, open_by_source: Counter[str]) -> None:
        self.config = config
        self.open_by_source = open_by_source
        self.sources = SourceTable(config.sources)
        self._policy = AnyStorage()

    def decide(
        self, rq: AssociateRQ, applicant: Applicant, associations_open: int, turned_away: TurnedAway
    ) -> Admitted | AssociateRJ:
        """Answer one request. associations_open: those accepted now, without this one."""
        router = self.config.router
        rejection = check_request(rq, router.called_ae_titles)
        if rejection is not None:
            return rejection
        calling = rq.calling_ae_title
        source = self.sources.find(calling, applicant.address, applicant.credentials)
        if source is None and (router.unknown_sources == "reject" or self.sources.is_bound(calling)):
            return AssociateRJ(
                REJECTED_PERMANENT, REJECT_SOURCE_SERVICE_USER, REJECT_CALLING_AE_TITLE_NOT_RECOGNISED
            )
        is_known = source is not None or not self.config.sources
        if turned_away is TurnedAway.EVERYBODY or (turned_away is TurnedAway.UNKNOWN and not is_known):
            return _reject_for_now(REJECT_TEMPORARY_CONGESTION)
        if associations_open >= self._room(is_known) or self._is_source_full(source):
            return _reject_for_now(REJECT_LOCAL_LIMIT_EXCEEDED)
        if 0 < router.associations_per_address_max <= applicant.associations_open:
            return _reject_for_now(REJECT_LOCAL_LIMIT_EXCEEDED)
        ack = (self.config.sources[source].ack if source else None) or router.ack
        return Admitted(source or "", ack, self._accept(rq))

    def _room(self, is_known: bool) -> int:
        """Return how many associations there may be for one more of this kind to be accepted."""
        router = self.config.router
        if is_known:
            return router.associations_max
        return router.associations_max - int(router.associations_max * router.reserved_percent / 100)

    def _is_source_full(self, source: str | None) -> bool:
        if source is None:
            return False
        allowed = self.config.sources[source].associations_max
        return bool(allowed) and self.open_by_source[source] >= allowed

    def _accept(self, rq: AssociateRQ) -> Acceptance:
        router = self.config.router
        outcome = negotiate_as_acceptor(rq, self._policy)
        window = answer_asynchronous_operations(
            rq.user_information.asynchronous_operations, router.operations_max, PERFORMED_MAX
        )
        ac = AssociateAC(
            called_ae_title=rq.called_ae_title,
            calling_ae_title=rq.calling_ae_title,
            presentation_contexts=outcome.results,
            user_information=UserInformation(
                maximum_length=router.pdu_max_kb * 1024,
                implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                implementation_version_name=IMPLEMENTATION_VERSION_NAME,
                asynchronous_operations=window,
                role_selections=outcome.role_selections,
            ),
        )
        operations_max = window.invoked if window is not None and window.invoked else 1
        return Acceptance(ac, outcome.accepted, operations_max)


def _reject_for_now(reason: int) -> AssociateRJ:
    return AssociateRJ(REJECTED_TRANSIENT, REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION, reason)
