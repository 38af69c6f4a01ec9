"""Negotiation on PresentationContext objects, side by side with pynetdicom's on random offers."""

from __future__ import annotations

import random
from typing import Any

import pynetdicom.presentation as theirs
import pytest

from router.api import context_negotiation as ours
from router.api import presentation
from router.errors import PeerViolation
from router.standard.transfer_syntaxes import ALL_TRANSFER_SYNTAXES

CT = "1.2.840.10008.5.1.4.1.1.2"
HANGING_PROTOCOL = "1.2.840.10008.5.1.4.38.1"
UIDS = (CT, "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.3.4", HANGING_PROTOCOL)
SYNTAXES = ALL_TRANSFER_SYNTAXES[:3]
ROLES = (True, False, None)


class Offer:
    """What two sides might say, to be made into either library's objects."""

    def __init__(self, seed: int) -> None:
        choose = random.Random(seed)
        count = choose.randint(1, 6)
        self.proposed = [
            (choose.choice(UIDS), choose.sample(SYNTAXES, choose.randint(1, 3)), 2 * number + 1)
            for number in range(count)
        ]
        self.supported = [
            (uid, choose.sample(SYNTAXES, choose.randint(1, 3)), choose.choice(ROLES), choose.choice(ROLES))
            for uid in choose.sample(UIDS, choose.randint(1, 4))
        ]
        self.roles = {
            uid: choose.choice(((True, True), (True, False), (False, True)))
            for uid in choose.sample(UIDS, choose.randint(0, 3))
        }

    def contexts(self, library: Any) -> tuple[list[Any], list[Any]]:
        proposed, supported = [], []
        for uid, syntaxes, context_id in self.proposed:
            context = library.build_context(uid, syntaxes)
            context.context_id = context_id
            proposed.append(context)
        for uid, syntaxes, scu, scp in self.supported:
            context = library.build_context(uid, syntaxes)
            context.scu_role, context.scp_role = scu, scp
            supported.append(context)
        return proposed, supported


def shown(contexts: list[Any]) -> list[tuple[Any, ...]]:
    """Return what matters; transfer syntax and roles of a rejected context mean nothing."""
    return [
        (
            context.context_id,
            str(context.abstract_syntax),
            context.result,
            *(
                (str(context.transfer_syntax[0]), context.as_scu, context.as_scp)
                if not context.result
                else ()
            ),
        )
        for context in contexts
    ]


def test_an_acceptor_decides_as_pynetdicoms_does() -> None:
    for seed in range(600):
        offer = Offer(seed)
        mine, answers = ours.negotiate_as_acceptor(*offer.contexts(presentation), offer.roles)
        other, their_answers = theirs.negotiate_as_acceptor(*offer.contexts(theirs), offer.roles)
        assert shown(mine) == shown(other), seed
        assert {(str(item.sop_class_uid), item.scu_role, item.scp_role) for item in answers} == {
            (str(item.sop_class_uid), item.scu_role, item.scp_role) for item in their_answers
        }, seed


def test_unrestricted_storage_accepts_what_pynetdicoms_does_and_non_patient_objects() -> None:
    """Roles that nobody proposed stay the default ones; pynetdicom gives itself both without telling."""
    for seed in range(600):
        offer = Offer(seed)
        mine, _ = ours.negotiate_unrestricted(*offer.contexts(presentation), offer.roles)
        other, _ = theirs.negotiate_unrestricted(*offer.contexts(theirs), offer.roles)
        for context, (*expected, scu, scp) in zip(shown(mine), map(padded, shown(other)), strict=True):
            if context[1] == HANGING_PROTOCOL:
                assert context[2] == 0
            elif context[1] in offer.roles:
                assert padded(context) == [*expected, scu, scp], seed
            else:
                assert padded(context)[:4] == expected, seed


def padded(context: tuple[Any, ...]) -> list[Any]:
    """Return what was shown with room for what a rejected context has not."""
    return [*context, None, None, None][:6]


def answered(library: Any, proposed: list[Any], seed: int) -> list[Any]:
    """Return what a correct acceptor might answer: some contexts left out, some rejected."""
    choose = random.Random(seed)
    answers = []
    for context in proposed:
        if choose.random() < 0.2:
            continue
        answer = library.PresentationContext()
        answer.context_id = context.context_id
        answer.result = choose.choice((0, 0, 1, 2, 3, 4))
        answer.transfer_syntax = [context.transfer_syntax[0]]
        answers.append(answer)
    return answers


def test_a_requestor_reads_answers_as_pynetdicoms_does() -> None:
    for seed in range(600):
        offer = Offer(seed)
        results = []
        for library, module in ((presentation, ours), (theirs, theirs)):
            proposed, _ = offer.contexts(library)
            for context in proposed:
                context.scu_role, context.scp_role = True, True
            roles = {uid: (scu, True) for uid, (scu, _) in offer.roles.items()}
            answers = answered(library, proposed, seed)
            results.append(shown(module.negotiate_as_requestor(proposed, answers, roles)))
        assert results[0] == results[1], seed


def test_the_table_of_roles_is_pynetdicoms() -> None:
    assert ours.SCP_SCU_ROLES == theirs.SCP_SCU_ROLES


def test_an_answer_that_leaves_no_role_is_a_rejection() -> None:
    """pynetdicom leaves such a context accepted, with neither role."""
    proposed = presentation.build_context(CT)
    proposed.context_id, proposed.scu_role, proposed.scp_role = 1, False, True
    answer = presentation.PresentationContext()
    answer.context_id, answer.result, answer.transfer_syntax = 1, 0, proposed.transfer_syntax[:1]
    (context,) = ours.negotiate_as_requestor([proposed], [answer], {CT: (True, False)})
    assert (context.result, context.as_scu, context.as_scp) == (1, False, False)


def test_an_answer_that_was_not_asked_for_is_a_violation() -> None:
    proposed = presentation.build_context(CT)
    proposed.context_id = 1
    answer = presentation.PresentationContext()
    answer.context_id, answer.result = 3, 3
    with pytest.raises(PeerViolation, match="was not proposed"):
        ours.negotiate_as_requestor([proposed], [answer])


def test_contexts_and_their_ids_are_needed() -> None:
    with pytest.raises(ValueError, match="no proposed contexts"):
        ours.negotiate_as_requestor([], [])
    with pytest.raises(ValueError, match="needs an ID"):
        ours.negotiate_as_acceptor([presentation.build_context(CT)], [])
