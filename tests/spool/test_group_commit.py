"""The thread that commits: one at a time, as long as somebody asks, never after a failure."""

from __future__ import annotations

import threading

from router.spool.group_commit import GroupCommit

from .spool_fixtures import DEADLINE_S


def test_requests_during_a_commit_become_one_more() -> None:
    begun, go = threading.Semaphore(0), threading.Semaphore(0)
    commits: list[int] = []

    def commit() -> bool:
        commits.append(threading.get_ident())
        begun.release()
        return go.acquire(timeout=DEADLINE_S)

    group = GroupCommit(commit, lambda: False)
    group.request()
    assert begun.acquire(timeout=DEADLINE_S)
    for _ in range(100):
        group.request()
    go.release(2)
    assert group.stop(DEADLINE_S)
    assert len(commits) == 2
    assert commits[0] != threading.get_ident()


def test_nothing_runs_after_a_failure() -> None:
    commits: list[None] = []

    def commit() -> bool:
        commits.append(None)
        return False

    group = GroupCommit(commit, lambda: True)
    group.request()
    group.request()
    assert group.stop(DEADLINE_S)
    group.request()
    assert len(commits) == 1


def test_without_a_thread_the_commit_runs_in_the_callers() -> None:
    commits: list[int] = []

    def commit() -> bool:
        commits.append(threading.get_ident())
        return True

    group = GroupCommit(commit, lambda: True, threaded=False)
    group.request()
    group.request()
    assert commits == [threading.get_ident()] * 2
    assert group.stop(0)
    group.request()
    assert len(commits) == 2
