"""A router that is started with fewer workers than before delivers what the absent ones were owed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.peers.process import free_port
from tests.support.fast_peers import fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.router_process import RouterProcess, router_process

pytestmark = pytest.mark.system

EARLY = 60
COUNT = 200
VERSIONED = 40
STUDY = "2.25.7001"  # of everything the fast sender makes


def test_what_absent_workers_left_is_delivered_and_what_they_did_stays_known(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        router = stack.enter_context(
            router_process(tmp_path, {"ARCHIVE": {"port": port}}, router={"workers": 3})
        )
        with fast_sink(tmp_path, "before", port=port) as before:
            send_all(tmp_path, router.port, name="early", kind="small", count=EARLY, run=2)
            before.wait_for(EARLY)
            wait_until(lambda: router.owed("ARCHIVE") == 0, 10, lambda: "something is owed")
        sent = send_all(tmp_path, router.port, kind="small", count=COUNT)
        assert [attempt.status for attempt in sent] == [0] * COUNT
        router.stop()
        router.tables["router"]["workers"] = 1
        router.start()
        archive = stack.enter_context(fast_sink(tmp_path, "archive", port=port))
        archive.wait_for(COUNT)
        result = compare(sent, archive.received())
        assert result.kept_the_promise, str(result)
        folder = Path(str(router.tables["spool"]["path"]))
        wait_until(
            lambda: not list(folder.glob("worker-[12]/segments/*")),
            10,
            lambda: "the data of absent workers is still there",
        )
        wait_until(
            lambda: delivered(router) == {"ARCHIVE": {"delivered": COUNT + EARLY}},
            10,
            lambda: f"the ledgers say {delivered(router)}",
        )
        assert router.metric("dicom_router_duplicates_total") == 0
        router.stop()
        router.tables["spool"]["history_s"] = 0
        router.start()
        wait_until(
            lambda: [path.name for path in folder.glob("worker-*")] == ["worker-0"],
            10,
            lambda: "the folders of absent workers are still there",
        )
        router.stop()


def test_versions_keep_their_order_whatever_the_number_of_workers(tmp_path: Path) -> None:
    port = free_port()
    versions: list[dict[str, str]] = []
    with ExitStack() as stack:
        router = stack.enter_context(
            router_process(tmp_path, {"ARCHIVE": {"port": port}}, router={"workers": 1}, start=False)
        )
        for workers, kind in ((1, "small"), (3, "tiny"), (2, "mr"), (3, "ct")):
            router.tables["router"]["workers"] = workers
            router.start()
            sent = send_all(tmp_path, router.port, name=f"{kind}-{workers}", kind=kind, count=VERSIONED)
            assert [attempt.status for attempt in sent] == [0] * VERSIONED
            versions.append({attempt.uid: attempt.sha256 for attempt in sent})
            router.stop()
        router.tables["router"]["workers"] = 2
        router.start()
        archive = stack.enter_context(fast_sink(tmp_path, "archive", port=port))
        wait_until(lambda: len(archive.taken()) >= 4 * VERSIONED, 60, lambda: f"{len(archive.taken())} came")
        received = archive.received()
        for uid in versions[0]:
            came = [one.sha256 for one in received if one.uid == uid]
            assert came == [version[uid] for version in versions], uid
        router.stop()


def delivered(router: RouterProcess) -> object:
    """Return how many instances of the study are in which state where."""
    return router.ask(f"/studies/{STUDY}")["summary"]["deliveries"]
