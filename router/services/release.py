"""Release an association in order, also when both sides ask at once (PS3.8 section 7.2)."""

from __future__ import annotations

from router.protocol.association import Association
from router.protocol.indications import ReleaseConfirmed, ReleaseRequested
from router.protocol.states import State
from router.services.steps import NextIndication, Procedure


def request(association: Association, acse_s: float | None) -> Procedure[None]:
    """Ask for the release and wait for the answer.

    Raises DeadlineExceeded after acse_s (the caller aborts), AssociationAborted.
    """
    association.release()
    while True:
        indication = yield NextIndication(acse_s, deadline_name="acse_s")
        if isinstance(indication, ReleaseConfirmed):
            if association.state is State.STA12:
                association.confirm_release()
            return
        if isinstance(indication, ReleaseRequested) and association.state is State.STA9:
            association.confirm_release()


def respond(association: Association) -> Procedure[None]:
    """Wait until the peer asks for the release, and confirm it; idle associations wait here."""
    while True:
        indication = yield NextIndication(None)
        if isinstance(indication, ReleaseRequested):
            association.confirm_release()
            return
