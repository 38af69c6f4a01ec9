"""The pool: bounded, in order when crowded, and empty again after a while."""

from __future__ import annotations

import threading
from queue import Queue

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


def test_work_that_can_wait_is_done_by_the_thread_that_is_busy() -> None:
    threads = HandlerThreads()
    names: Queue[str] = Queue()
    begun, go_on = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        go_on.wait(30)

    threads.submit(first)
    assert begun.wait(30)
    for _ in range(3):
        threads.submit_soon(lambda: names.put(threading.current_thread().name))
    assert threads.is_crowded
    assert threads.count == 1
    go_on.set()
    assert [names.get(timeout=30) for _ in range(3)]
    assert threads.count == 1


def test_work_is_given_to_another_thread_when_the_busy_one_is_held_up() -> None:
    threads = HandlerThreads()
    done: Queue[int] = Queue()
    begun, go_on = threading.Event(), threading.Event()

    def held_up() -> None:
        begun.set()
        go_on.wait(30)

    threads.submit(held_up)
    assert begun.wait(30)
    threads.submit_soon(lambda: done.put(1))
    while threads.is_crowded:
        threads.relieve()  # as the reactor does, time after time
    assert done.get(timeout=30) == 1
    assert threads.count == 2
    go_on.set()


def test_many_that_are_held_up_are_soon_given_threads() -> None:
    threads = HandlerThreads()
    begun, go_on = threading.Semaphore(0), threading.Event()

    def held_up() -> None:
        begun.release()
        go_on.wait(30)

    threads.submit(held_up)
    for _ in range(30):
        threads.submit_soon(held_up)
    calls = 0
    while threads.is_crowded:
        before = threads.count
        threads.relieve()
        calls += threads.count != before
    for _ in range(31):
        assert begun.acquire(timeout=30)
    go_on.set()
    assert calls <= 6


def test_one_thread_at_a_time_may_linger_and_is_not_taken_for_busy() -> None:
    threads = HandlerThreads()
    done: Queue[int] = Queue()
    begun, go_on = threading.Event(), threading.Event()

    def linger() -> None:
        assert threads.begin_lingering()
        begun.set()
        go_on.wait(30)
        threads.end_lingering()

    threads.submit(linger)
    assert begun.wait(30)
    assert not threads.begin_lingering()
    threads.submit_soon(lambda: done.put(1))
    assert done.get(timeout=30) == 1
    go_on.set()
