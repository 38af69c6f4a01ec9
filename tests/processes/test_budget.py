from __future__ import annotations

from router.processes.budget import BACK_OFF_MAX_S, RestartBudget


def test_the_first_restart_is_immediate_and_the_others_back_off() -> None:
    budget = RestartBudget()
    assert [budget.restart(0.0) for _ in range(5)] == [0.0, 0.1, 0.2, 0.4, 0.8]


def test_the_back_off_is_bounded_and_the_budget_ends() -> None:
    budget = RestartBudget(restarts_max=10)
    waits = [budget.restart(1.0) for _ in range(11)]
    assert waits[9] == BACK_OFF_MAX_S
    assert waits[10] is None


def test_restarts_older_than_the_window_do_not_count() -> None:
    budget = RestartBudget(restarts_max=2, window_s=60)
    assert budget.restart(0.0) == 0.0
    assert budget.restart(30.0) == 0.1
    assert budget.restart(59.9) is None
    assert budget.restart(60.0) == 0.1
    assert budget.restart(200.0) == 0.0
