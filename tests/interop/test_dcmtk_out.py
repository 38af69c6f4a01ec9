"""DCMTK's storescp as a destination: octets written as they come, in the syntax they were sent in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.corpus import corpus
from tests.support.dcmtk import dcmtk_storescp
from tests.support.fast_peers import send_all, wait_until
from tests.support.ledger import SUCCESS
from tests.support.router_process import router_process

pytestmark = [pytest.mark.interop, pytest.mark.system]


@pytest.mark.parametrize("associations_max", [1, 4])
def test_every_file_reaches_storescp_unchanged(
    tmp_path: Path, require_peer: Callable[..., None], associations_max: int
) -> None:
    require_peer("storescp")
    with (
        dcmtk_storescp(tmp_path) as archive,
        router_process(
            tmp_path, {"ARCHIVE": {"port": archive.port, "associations_max": associations_max}}
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, files=corpus())
        promised = {attempt.sha256 for attempt in sent if attempt.status in SUCCESS}
        expected = {(i.transfer_syntax, i.sha256) for i in corpus() if i.sha256 in promised}
        assert len(expected) >= len({i.sha256 for i in corpus() if i.complete})
        wait_until(
            lambda: len(archive.files()) >= len(expected) and expected <= archive.received(),
            60,
            lambda: f"{len(archive.files())} files of {len(expected)} at storescp",
        )
        router.stop()
        assert archive.received() == expected


@pytest.mark.parametrize("manner", ["--abort-after", "--abort-during"])
def test_a_storescp_that_aborts_every_store_loses_nothing(
    tmp_path: Path, require_peer: Callable[..., None], manner: str
) -> None:
    require_peer("storescp")
    with dcmtk_storescp(tmp_path, options=[manner]) as archive:
        tables = {"port": archive.port}
        with router_process(tmp_path, {"ARCHIVE": tables}) as router:
            sent = send_all(tmp_path, router.port, kind="small", count=3)
            assert [attempt.status for attempt in sent] == [0, 0, 0]
            wait_until(
                lambda: router.metric("dicom_router_delivery_errors_total", destination="ARCHIVE") >= 3,
                30,
                lambda: "no delivery error was counted",
            )
            assert router.metric("dicom_router_instances_sent_total", status_class="success") == 0
            assert router.owed("ARCHIVE") == 3
