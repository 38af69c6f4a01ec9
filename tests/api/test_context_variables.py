"""Context variables of who makes a server or an association, and what handlers see of them."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Any

import pytest

from router import _config
from tests.api.conftest import Pair
from tests.support.datasets import CT, VERIFICATION, instance

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"

origin: ContextVar[str] = ContextVar("origin", default="nobody")


@pytest.mark.parametrize(("passed", "seen"), [(True, "server"), (False, "nobody")])
def test_handlers_run_in_a_copy_of_the_servers_context_if_asked_to(
    passed: bool, seen: str, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_config, "PASS_CONTEXTVARS", passed)
    found: list[str] = []

    def handle(event: Any) -> int:
        found.append(origin.get())
        if passed:
            origin.set("a handler")  # in its own copy
        return 0x0000

    evt = ours.scp.evt
    token = origin.set("server")
    try:
        server = ours.serve([VERIFICATION, CT], [(evt.EVT_C_ECHO, handle), (evt.EVT_C_STORE, handle)])
    finally:
        origin.reset(token)
    assoc = ours.associate(server, [VERIFICATION, CT])
    assert [assoc.send_c_echo().Status, assoc.send_c_store(instance()).Status] == [0, 0]
    assert found == [seen, seen]
    assert origin.get() == "nobody"


def test_an_event_report_is_served_in_the_requestors_context(
    ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_config, "PASS_CONTEXTVARS", True)
    told, found = threading.Event(), list[str]()

    def act(event: Any) -> tuple[int, None]:
        threading.Thread(
            target=lambda: event.assoc.send_n_event_report(None, 1, STORAGE_COMMITMENT, COMMITMENT_INSTANCE),
            daemon=True,
        ).start()
        return 0x0000, None

    def report(event: Any) -> tuple[int, None]:
        found.append(origin.get())
        told.set()
        return 0x0000, None

    evt = ours.scp.evt
    server = ours.serve([STORAGE_COMMITMENT], [(evt.EVT_N_ACTION, act)])
    token = origin.set("requestor")
    try:
        assoc = ours.associate(server, [STORAGE_COMMITMENT], evt_handlers=[(evt.EVT_N_EVENT_REPORT, report)])
    finally:
        origin.reset(token)
    status, _ = assoc.send_n_action(None, 1, STORAGE_COMMITMENT, COMMITMENT_INSTANCE)
    assert status.Status == 0x0000
    assert told.wait(30)
    assert found == ["requestor"]
