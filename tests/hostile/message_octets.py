"""Octets on an accepted association that the tests of messages and of ends share."""

from __future__ import annotations

from tests.support.raw_peer import (
    STORE_CONTEXT,
    abort_pdu,
    command,
    dataset_of,
    pdata,
    pdv,
    store_rq,
)

UNEXPECTED = abort_pdu(2, 2)
DATASET = dataset_of()
BEGUN = command(STORE_CONTEXT, store_rq())
HALF = BEGUN + pdata(pdv(STORE_CONTEXT, 0, DATASET[:20]))
