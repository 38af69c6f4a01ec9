"""A router that is started with fewer workers than before delivers what the absent ones were owed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.peers.process import free_port
from tests.support.fast_peers import fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.router_process import router_process

pytestmark = pytest.mark.system

COUNT = 200


def test_what_absent_workers_left_is_delivered_and_their_folder_goes(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        router = stack.enter_context(
            router_process(tmp_path, {"ARCHIVE": {"port": port}}, router={"workers": 3})
        )
        sent = send_all(tmp_path, router.port, kind="small", count=COUNT)
        assert [attempt.status for attempt in sent] == [0] * COUNT
        router.stop()
        router.tables["router"]["workers"] = 1
        router.start()
        archive = stack.enter_context(fast_sink(tmp_path, "archive", port=port))
        archive.wait_for(COUNT)
        result = compare(sent, archive.received())
        assert result.kept_the_promise, str(result)
        folders = Path(str(router.tables["spool"]["path"]))
        wait_until(
            lambda: [path.name for path in folders.glob("worker-*")] == ["worker-0"],
            10,
            lambda: "the folders of absent workers are still there",
        )
        router.stop()
