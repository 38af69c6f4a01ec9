"""Hostile acceptors (row 54) towards the library's requestor: it answers as the router's, and gives up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from router import AE
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE
from tests.hostile import test_acceptances, test_destinations
from tests.hostile.test_destinations import Hostility
from tests.support.scripted_scp import Peer, honest, run, scripted_acceptor, until
from tests.support.threads import busy_threads

VIOLATIONS = {**test_destinations.ABORTED, **test_acceptances.VIOLATIONS}
ENDED = {name: script for name, (script, _) in test_destinations.ENDED.items()}

NOT_THE_ROUTERS: dict[str, bytes] = {}
"""Rows that the library answers otherwise, and how."""


def instance() -> Dataset:
    """Return a dataset to send."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = IMPLICIT_VR_LITTLE_ENDIAN
    dataset.SOPClassUID = CT_IMAGE_STORAGE
    dataset.SOPInstanceUID = "1.2.3"
    return dataset


def send(port: int, wait_s: float) -> int | None:
    """Store one instance; return the status, or None if there was none."""
    ae = AE("SCU")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = wait_s
    ae.add_requested_context(CT_IMAGE_STORAGE, IMPLICIT_VR_LITTLE_ENDIAN)
    association = ae.associate("127.0.0.1", port)
    status = None
    if association.is_established:
        status = association.send_c_store(instance()).get("Status")
        if association.is_established:
            association.release()
    ae.shutdown()
    return status


def try_hostility(script: Hostility, wait_s: float) -> bytes:
    """Be attacked, then served by an honest acceptor; nothing may be left. Return the last PDU of ours."""
    last: list[bytes] = []

    async def attack(peer: Peer) -> None:
        await script(peer)
        last.append(peer.last_pdu)

    async def test() -> None:
        # One thread for all: each that waits for a peer keeps a descriptor to be woken by.
        with ThreadPoolExecutor(1) as thread:
            await attacked(partial(asyncio.get_running_loop().run_in_executor, thread, send))

    async def attacked(sending: Callable[[int, float], Awaitable[int | None]]) -> None:
        async with scripted_acceptor(attack) as hostile, scripted_acceptor(honest) as good:
            await sending(good.port, 15.0)
            threads, descriptors = busy_threads(), len(os.listdir("/proc/self/fd"))
            assert await sending(hostile.port, wait_s) in (None, 0)
            await until(lambda: last)
            assert await sending(good.port, 15.0) == 0
            await until(lambda: busy_threads() <= threads)
            await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)

    run(test())
    return last[0]


@pytest.mark.parametrize("row", VIOLATIONS)
def test_a_violation_is_answered_as_by_the_router(row: str) -> None:
    script, expected = VIOLATIONS[row]
    assert try_hostility(script, 5.0) == NOT_THE_ROUTERS.get(row, expected)


@pytest.mark.parametrize("row", ENDED)
def test_every_other_end_is_taken_in_time(row: str) -> None:
    try_hostility(ENDED[row], 0.3)
