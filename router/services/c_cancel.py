"""C-CANCEL: ask the peer to end a C-FIND, C-GET or C-MOVE early (PS3.7 section 9.3.2.3).

There is no response of its own: the operation answers with its final status, FE00H if it was cancelled. What
arrives is kept by router/services/conversation.py in `Association.cancelled`.
"""

from __future__ import annotations

from router.protocol.association import Association
from router.standard.dimse_fields import (
    C_CANCEL_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
)


def cancel(association: Association, context_id: int, message_id: int) -> None:
    """Send C-CANCEL-RQ for the operation whose request had this Message ID, in its presentation context.

    Raises AssociationAborted if no message may be sent any more.
    """
    association.send_message(
        context_id,
        {
            COMMAND_FIELD: C_CANCEL_RQ,
            MESSAGE_ID_BEING_RESPONDED_TO: message_id,
            COMMAND_DATA_SET_TYPE: NO_DATASET,
        },
    )
