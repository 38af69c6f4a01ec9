"""The pool: bounded, in order when crowded, and empty again after a while."""

from __future__ import annotations

import threading

from router.drivers.handler_threads import HandlerThreads


def test_work_runs_even_when_all_threads_are_taken_and_none_is_lost() -> None:
    threads = HandlerThreads(threads_max=2)
    gate, done = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        gate.wait(10)
        done.release()

    for _ in range(20):
        threads.submit(work)
    assert threads.count == 2
    assert threads.is_crowded
    assert not threads.has_room
    gate.set()
    for _ in range(20):
        assert done.acquire(timeout=10)


def test_a_parked_thread_is_used_again() -> None:
    threads = HandlerThreads()
    names: list[str] = []
    for _ in range(50):
        done = threading.Event()
        threads.submit(lambda done=done: (names.append(str(threading.get_ident())), done.set()))  # type: ignore[misc]
        assert done.wait(10)
    assert len(set(names)) <= 3


def test_parked_threads_end() -> None:
    threads = HandlerThreads(parked_s=0.01)
    ended: list[threading.Thread] = []
    done = threading.Event()
    threads.submit(lambda: (ended.append(threading.current_thread()), done.set()))  # type: ignore[arg-type,return-value]
    assert done.wait(10)
    ended[0].join(10)
    assert threads.count == 0


def test_work_that_fails_does_not_take_its_thread_along() -> None:
    threads = HandlerThreads(threads_max=1)
    done = threading.Event()
    threads.submit(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    threads.submit(done.set)
    assert done.wait(10)
