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


class FakeLane:
    """A lane that can be told to fail; `requested` counts what it has been served for."""

    def __init__(self) -> None:
        self.called = threading.Semaphore(0)
        self.error: OSError | None = None
        self.serves = 0

    def call(self) -> None:
        self.called.release()

    def serve(self, idle_s: float) -> bool:
        self.serves += 1
        is_called = self.called.acquire(timeout=idle_s)
        if self.error is not None:
            raise self.error
        return is_called


def test_a_commit_runs_between_two_turns_of_the_lane() -> None:
    lane, done = FakeLane(), threading.Semaphore(0)

    def commit() -> bool:
        done.release()
        return True

    group = GroupCommit(commit, lambda: False, lane=lane)  # type: ignore[arg-type]
    for turn in range(1, 3):
        group.request()
        assert done.acquire(timeout=DEADLINE_S)
        assert lane.serves >= turn
    assert group.stop(DEADLINE_S)
    assert not group.is_busy


def test_a_commit_asked_for_before_the_end_runs_with_a_lane_too() -> None:
    commits: list[None] = []

    def commit() -> bool:
        commits.append(None)
        return True

    group = GroupCommit(commit, lambda: False, lane=FakeLane())  # type: ignore[arg-type]
    group.request()
    assert group.stop(DEADLINE_S)
    assert len(commits) == 1


def test_nothing_runs_after_the_lane_has_failed() -> None:
    lane, failures, commits = FakeLane(), [], []
    failed = threading.Event()

    def lane_failed(error: OSError) -> None:
        failures.append(error)
        failed.set()

    def commit() -> bool:
        commits.append(None)
        return True

    lane.error = OSError(5, "Input/output error")
    group = GroupCommit(commit, lambda: True, lane=lane, lane_failed=lane_failed)  # type: ignore[arg-type]
    group.request()
    assert failed.wait(DEADLINE_S)
    group.request()
    assert group.is_busy
    assert group.stop(DEADLINE_S)
    assert (failures, commits, lane.serves) == ([lane.error], [], 1)
