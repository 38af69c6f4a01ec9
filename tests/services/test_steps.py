"""A Deferred is settled once, and its continuation runs once, whichever comes first."""

from __future__ import annotations

from router.services.steps import Deferred


def test_a_value_that_is_there_already_is_given_at_once() -> None:
    got: list[int] = []
    deferred = Deferred()
    assert not deferred.is_settled
    deferred.settle(5)
    assert (deferred.is_settled, deferred.value) == (True, 5)
    deferred.then(got.append)
    assert got == [5]


def test_a_value_that_comes_later_is_given_then() -> None:
    got: list[int] = []
    deferred = Deferred()
    deferred.then(got.append)
    assert got == []
    deferred.settle(5)
    assert got == [5]


def test_the_first_value_counts() -> None:
    got: list[int] = []
    deferred = Deferred()
    deferred.then(got.append)
    deferred.settle(1)
    deferred.settle(2)
    assert got == [1]
