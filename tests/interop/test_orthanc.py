"""Orthanc as a destination: it holds through the router what it takes directly, octet by octet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.corpus import corpus, unique_by_uid
from tests.support.fast_peers import send_all, wait_until
from tests.support.orthanc import orthanc
from tests.support.router_process import router_process

pytestmark = [pytest.mark.interop, pytest.mark.system]

# Orthanc 1.10 waits for more octets of these and answers nothing until a timeout.
NEVER_ANSWERED = frozenset({"MR_truncated.dcm", "rtplan_truncated.dcm", "SC_rgb_jpeg.dcm"})


def test_orthanc_holds_the_same_as_without_the_router(
    tmp_path: Path, require_peer: Callable[..., None]
) -> None:
    require_peer("Orthanc")
    files = unique_by_uid(tuple(i for i in corpus() if i.complete and i.name not in NEVER_ANSWERED))
    with orthanc(tmp_path, "direct") as direct:
        answers = send_all(tmp_path, direct.port, name="direct-sender", files=files)
        taken = {attempt.uid for attempt in answers if attempt.acknowledged}
        expected = direct.instances()
    assert len(taken) > 100
    assert set(expected) == taken
    with (
        orthanc(tmp_path, "routed") as routed,
        router_process(
            tmp_path, {"ORTHANC": {"port": routed.port, "attempts_max": 1, "associations_max": 2}}
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, files=files)
        assert all(attempt.acknowledged for attempt in sent)
        wait_until(lambda: routed.count() >= len(taken), 60, lambda: f"{routed.count()} of {len(taken)}")
        refused = {attempt.uid for attempt in answers if attempt.status and not attempt.acknowledged}
        wait_until(
            lambda: (
                len(router.queue(destination="ORTHANC", state="dead")) + router.owed("ORTHANC", "retrying")
                >= len(refused)
            ),
            60,
            lambda: f"{router.queue()} where {len(refused)} are refused",
        )
        assert routed.instances() == expected


def test_orthanc_answers_c_echo_and_takes_concurrent_associations(
    tmp_path: Path, require_peer: Callable[..., None]
) -> None:
    require_peer("Orthanc")
    with (
        orthanc(tmp_path) as archive,
        router_process(tmp_path, {"ORTHANC": archive.port}, router={"ack": "delivered"}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="ct", count=40, associations=4)
        assert all(attempt.acknowledged for attempt in sent)
        held = archive.instances()
        assert {uid: digest for uid, (_, digest) in held.items()} == {a.uid: a.sha256 for a in sent}
