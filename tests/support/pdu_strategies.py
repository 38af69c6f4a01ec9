"""Hypothesis strategies for PDUs that we may send, and for damage done to their octets."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from router.standard.reasons import REJECT_REASONS
from router.wire.pdus import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    ContextResult,
    PDataTF,
    Pdv,
    ProposedContext,
    ReleaseRP,
    ReleaseRQ,
)
from router.wire.user_information import (
    AsynchronousOperationsWindow,
    RoleSelection,
    SOPClassCommonExtended,
    SOPClassExtended,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)

_AE_CHARACTERS = "".join(
    sorted(set(string.ascii_letters + string.digits + string.punctuation + " ") - {"\\"})
)

uint16 = st.integers(0, 0xFFFF)
uids = st.lists(st.integers(0, 10**9).map(str), min_size=1, max_size=6).map(".".join)
ae_titles = st.text(_AE_CHARACTERS, min_size=1, max_size=16).map(lambda text: text.strip(" ")).filter(bool)
version_names = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=16)
windows = st.builds(AsynchronousOperationsWindow, uint16, uint16)
roles = st.builds(RoleSelection, uids, st.booleans(), st.booleans())
extended = st.builds(SOPClassExtended, uids, st.binary(max_size=40))
common_extended = st.builds(SOPClassCommonExtended, uids, uids, st.lists(uids, max_size=4).map(tuple))
identities = st.builds(
    UserIdentityRQ, st.integers(0, 255), st.booleans(), st.binary(max_size=40), st.binary(max_size=40)
)
identity_responses = st.builds(UserIdentityAC, st.binary(max_size=40))


def _few(values: st.SearchStrategy) -> st.SearchStrategy:  # type: ignore[type-arg]
    return st.lists(values, max_size=3).map(tuple)


def user_informations(is_requestor: bool) -> st.SearchStrategy[UserInformation]:
    """What a requestor, or an acceptor, may say about itself."""
    return st.builds(
        UserInformation,
        maximum_length=st.none() | st.integers(0, 0xFFFFFFFF),
        implementation_class_uid=st.none() | uids,
        implementation_version_name=st.none() | version_names,
        asynchronous_operations=st.none() | windows,
        role_selections=_few(roles),
        sop_class_extended=_few(extended),
        sop_class_common_extended=_few(common_extended) if is_requestor else st.just(()),
        user_identity=st.none() | identities if is_requestor else st.none(),
        user_identity_response=st.none() if is_requestor else st.none() | identity_responses,
    )


context_ids = st.integers(0, 127).map(lambda number: 2 * number + 1)
proposed_contexts = st.builds(
    ProposedContext, context_ids, uids, st.lists(uids, min_size=1, max_size=4).map(tuple)
)
context_results = st.builds(ContextResult, context_ids, st.integers(0, 4), uids)


def _distinct(contexts: st.SearchStrategy) -> st.SearchStrategy:  # type: ignore[type-arg]
    return st.lists(contexts, max_size=6, unique_by=lambda context: context.context_id).map(tuple)


associate_rqs = st.builds(
    AssociateRQ, ae_titles, ae_titles, _distinct(proposed_contexts), user_informations(True), uids, uint16
)
associate_acs = st.builds(
    AssociateAC, ae_titles, ae_titles, _distinct(context_results), user_informations(False), uids, uint16
)
associate_rjs = st.sampled_from(
    [
        AssociateRJ(result, source, reason)
        for result in (1, 2)
        for source, reasons in REJECT_REASONS.items()
        for reason in reasons
    ]
)
aborts = st.builds(Abort, st.integers(0, 255), st.integers(0, 255))
pdvs = st.builds(Pdv, context_ids, st.integers(0, 255), st.binary(max_size=60))
p_data_tfs = st.builds(PDataTF, st.lists(pdvs, max_size=4).map(tuple))
pdus = st.one_of(
    associate_rqs,
    associate_acs,
    associate_rjs,
    p_data_tfs,
    st.just(ReleaseRQ()),
    st.just(ReleaseRP()),
    aborts,
)


@st.composite
def damaged(draw: st.DrawFn, octets: st.SearchStrategy[bytes]) -> bytes:
    """Octets with up to 8 of them overwritten, removed or inserted; half of the time with a true length."""
    data = bytearray(draw(octets))
    for _ in range(draw(st.integers(1, 8))):
        position = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["overwrite", "remove", "insert"])):
            case "overwrite":
                data[position : position + 1] = bytes([draw(st.sampled_from([0, 1, 2, 0x50, 0x7F, 0xFF]))])
            case "remove":
                del data[position : position + draw(st.integers(1, 4))]
            case "insert":
                data[position:position] = draw(st.binary(min_size=1, max_size=4))
    if draw(st.booleans()) and len(data) >= 6:
        data[2:6] = (len(data) - 6).to_bytes(4, "big")
    return bytes(data)
