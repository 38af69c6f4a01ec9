"""Who may associate: access first, then congestion, then limits; and what the acceptance says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from router.config.load import parse_config
from router.config.sources import Credentials
from router.processes.admission import Admission, Admitted, Applicant, TurnedAway
from router.standard.uids import CT_IMAGE_STORAGE, IMPLEMENTATION_CLASS_UID, VERIFICATION
from router.wire.pdus import AssociateRJ, AssociateRQ, ProposedContext
from router.wire.user_information import (
    AsynchronousOperationsWindow,
    RoleSelection,
    UserIdentityRQ,
    UserInformation,
)
from tests.support.raw_peer import associate_rq

CONFIG = """
[router]
ae_title = "ROUTER"
associations_max = 10
pdu_max_kb = 128
operations_max = 8
{router}
[listener]
port = 0
[spool]
path = "/nowhere"
[destinations.PACS]
ae_title = "PACS"
host = "127.0.0.1"
port = 11113
[[rules]]
name = "all"
to = ["PACS"]
{sources}
"""

CT_SOURCE = """
[sources.CT]
calling_ae_titles = ["CT1"]
addresses = ["192.0.2.0/24"]
ack = "delivered"
associations_max = 2
"""

HERE = "192.0.2.17"


def admission(router: str = "", sources: str = "", **open_by_source: int) -> Admission:
    return Admission(parse_config(CONFIG.format(router=router, sources=sources)), Counter(open_by_source))


def decide(
    one: Admission,
    rq: AssociateRQ | None = None,
    address: str = HERE,
    is_open: int = 0,
    turned_away: TurnedAway = TurnedAway.NOBODY,
    credentials: Credentials | None = None,
    open_there: int = 0,
) -> tuple[int, int, int] | Admitted:
    """Return a rejection's result, source and reason, or what was admitted."""
    applicant = Applicant(address, credentials, open_there)
    answer = one.decide(rq or associate_rq(), applicant, is_open, turned_away)
    return (answer.result, answer.source, answer.reason) if isinstance(answer, AssociateRJ) else answer


def admitted(one: Admission, rq: AssociateRQ | None = None, address: str = HERE) -> Admitted:
    answer = decide(one, rq, address)
    assert isinstance(answer, Admitted)
    return answer


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"called_ae_title": "OTHER"}, (1, 1, 7)),
        ({"called_ae_title": ""}, (1, 1, 7)),
        ({"application_context_name": "1.2.3"}, (1, 1, 2)),
        ({"protocol_version": 2}, (1, 2, 2)),
        ({"user_information": UserInformation(maximum_length=11)}, (1, 1, 1)),
    ],
)
def test_a_request_that_cannot_be_meant_for_us_is_rejected_for_good(
    changes: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    one = admission('called_ae_titles = ["ROUTER", "ROUTER2"]')
    assert decide(one, associate_rq(**changes)) == expected


def test_any_called_title_will_do_where_none_is_listed() -> None:
    admitted(admission(), associate_rq(called_ae_title="ANY"))


@pytest.mark.parametrize(
    ("title", "address", "source"),
    [("CT1", HERE, "CT"), ("CT1", "198.51.100.1", None), ("CT2", HERE, None), ("ct1", HERE, None)],
)
def test_a_source_is_known_by_title_and_address_together(
    title: str, address: str, source: str | None
) -> None:
    rq = associate_rq(calling_ae_title=title)
    answer = decide(admission(sources=CT_SOURCE), rq, address)
    if source is None:
        assert answer == (1, 1, 3), "unknown sources are rejected once any is listed"
        assert admitted(admission('unknown_sources = "accept"', CT_SOURCE), rq, address).source == ""
    else:
        assert isinstance(answer, Admitted)
        assert answer.source == source


def test_the_sources_own_acknowledgement_goes_before_the_routers() -> None:
    one = admission('ack = "stored"\nunknown_sources = "accept"', CT_SOURCE)
    assert admitted(one, associate_rq(calling_ae_title="CT1")).ack == "delivered"
    assert admitted(one, associate_rq(calling_ae_title="MR1")).ack == "stored"


def test_congestion_and_limits_are_rejected_for_now() -> None:
    one = admission()
    assert decide(one, turned_away=TurnedAway.EVERYBODY) == (2, 3, 1)
    assert decide(one, is_open=10) == (2, 3, 2)
    assert isinstance(decide(one, is_open=9), Admitted)


def test_access_is_looked_at_before_congestion() -> None:
    """Who may never associate is told so, and does not come back."""
    one = admission('called_ae_titles = ["ROUTER"]', CT_SOURCE)
    assert decide(one, associate_rq(called_ae_title="OTHER"), turned_away=TurnedAway.EVERYBODY) == (1, 1, 7)
    assert decide(one, associate_rq(calling_ae_title="MR1"), turned_away=TurnedAway.EVERYBODY) == (1, 1, 3)


def test_a_source_has_a_limit_of_its_own() -> None:
    rq = associate_rq(calling_ae_title="CT1")
    assert isinstance(decide(admission(sources=CT_SOURCE, CT=1), rq), Admitted)
    assert decide(admission(sources=CT_SOURCE, CT=2), rq) == (2, 3, 2)


def test_the_counts_are_shared_with_who_keeps_them() -> None:
    counts: Counter[str] = Counter()
    one = Admission(parse_config(CONFIG.format(router="", sources=CT_SOURCE)), counts)
    rq = associate_rq(calling_ae_title="CT1")
    counts["CT"] = 2
    assert decide(one, rq) == (2, 3, 2)
    counts["CT"] -= 1
    assert isinstance(decide(one, rq), Admitted)


def test_the_acceptance_says_who_we_are_and_what_we_take() -> None:
    answer = admitted(admission(), associate_rq(window=4)).answer
    information = answer.ac.user_information
    assert information.maximum_length == 128 * 1024
    assert information.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert (answer.ac.called_ae_title, answer.ac.calling_ae_title) == ("ROUTER", "MODALITY")
    assert [one.abstract_syntax for one in answer.contexts] == [VERIFICATION, CT_IMAGE_STORAGE]


@pytest.mark.parametrize(
    ("proposed", "answered", "operations"),
    [
        (None, None, 1),
        ((4, 1), (4, 1), 4),
        ((100, 1), (8, 1), 8),
        ((0, 0), (8, 1), 8),
        ((1, 1), (1, 1), 1),
    ],
)
def test_no_more_operations_are_granted_than_proposed_or_configured(
    proposed: tuple[int, int] | None, answered: tuple[int, int] | None, operations: int
) -> None:
    window = AsynchronousOperationsWindow(*proposed) if proposed else None
    answer = admitted(
        admission(), associate_rq(user_information=UserInformation(16384, asynchronous_operations=window))
    ).answer
    expected = AsynchronousOperationsWindow(*answered) if answered else None
    assert answer.ac.user_information.asynchronous_operations == expected
    assert answer.operations_max == operations


def test_every_proposed_context_is_answered_and_queries_are_not_accepted() -> None:
    contexts = (
        ProposedContext(1, "1.2.840.10008.5.1.4.1.2.2.1", ("1.2.840.10008.1.2",)),
        ProposedContext(3, "1.2.999.1", ("1.2.840.10008.1.2",)),
        ProposedContext(5, CT_IMAGE_STORAGE, ("not a uid", "1.2.840.10008.1.2.4.90")),
    )
    answer = admitted(admission(), associate_rq(presentation_contexts=contexts)).answer
    results = [(one.context_id, one.result, one.transfer_syntax) for one in answer.ac.presentation_contexts]
    assert results == [(1, 3, ""), (3, 0, "1.2.840.10008.1.2"), (5, 0, "1.2.840.10008.1.2.4.90")]


def test_senders_do_not_become_scps_and_identities_are_ignored() -> None:
    information = UserInformation(
        maximum_length=16384,
        role_selections=(RoleSelection(CT_IMAGE_STORAGE, True, True),),
        user_identity=UserIdentityRQ(2, True, b"me", b"secret"),
    )
    answer = admitted(admission(), associate_rq(user_information=information)).answer
    assert answer.ac.user_information.role_selections == (RoleSelection(CT_IMAGE_STORAGE, True, False),)
    assert answer.ac.user_information.user_identity_response is None
    assert not any(one.as_scu for one in answer.contexts)


BOUND_SOURCE = """
[sources.CT]
calling_ae_titles = ["CT1"]
certificate_names = ["ct1.example"]
[listener.tls]
certificate = "c"
key = "k"
ca = "a"
"""


def test_a_bound_ae_title_is_never_just_unknown() -> None:
    one = admission('unknown_sources = "accept"', BOUND_SOURCE)
    rq = associate_rq(calling_ae_title="CT1")
    assert decide(one, rq) == (1, 1, 3)
    assert decide(one, rq, credentials=Credentials(frozenset({"ct2.example"}))) == (1, 1, 3)
    assert isinstance(decide(one, rq, credentials=Credentials(frozenset({"ct1.example"}))), Admitted)
    assert isinstance(decide(one), Admitted)


def test_known_senders_come_before_unknown_ones_under_pressure() -> None:
    one = admission('unknown_sources = "accept"', CT_SOURCE)
    known, unknown = associate_rq(calling_ae_title="CT1"), associate_rq(calling_ae_title="MR1")
    assert isinstance(decide(one, known, turned_away=TurnedAway.UNKNOWN), Admitted)
    assert decide(one, unknown, turned_away=TurnedAway.UNKNOWN) == (2, 3, 1)
    assert decide(one, known, turned_away=TurnedAway.EVERYBODY) == (2, 3, 1)


def test_without_sources_nobody_is_unknown() -> None:
    assert isinstance(decide(admission(), turned_away=TurnedAway.UNKNOWN), Admitted)
    assert isinstance(decide(admission("reserved_percent = 50"), is_open=9), Admitted)


def test_a_share_of_the_associations_is_kept_for_known_senders() -> None:
    one = admission('unknown_sources = "accept"\nreserved_percent = 30', CT_SOURCE)
    known, unknown = associate_rq(calling_ae_title="CT1"), associate_rq(calling_ae_title="MR1")
    assert isinstance(decide(one, unknown, is_open=6), Admitted)
    assert decide(one, unknown, is_open=7) == (2, 3, 2)
    assert isinstance(decide(one, known, is_open=9), Admitted)
    assert decide(one, known, is_open=10) == (2, 3, 2)


def test_an_address_has_a_limit_if_one_is_set() -> None:
    one = admission("associations_per_address_max = 2")
    assert isinstance(decide(one, open_there=1), Admitted)
    assert decide(one, open_there=2) == (2, 3, 2)
    assert isinstance(decide(admission(), open_there=9), Admitted)
