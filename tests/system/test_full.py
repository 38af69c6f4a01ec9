"""The runs of the full tier add up, each with the seeds that come next, and what broke is not passed over."""

from __future__ import annotations

from pathlib import Path

from tests.system.full import Scenario, carry_out, front_table
from tests.system.stand import BrokenPromise, Outcome

NAME = "kill -9 at random"


def scenario(calls: list[tuple[int, int]], broken_at: int = 0) -> Scenario:
    def run(directory: Path, runs: int, seed: int, deadline_s: float) -> Outcome:
        assert directory.is_dir()
        calls.append((runs, seed))
        outcome = Outcome(NAME, runs, acknowledged=10 * runs, seeds=[seed], counts={"worker": runs})
        if seed == broken_at:
            broken = BrokenPromise("lost")
            broken.outcome = Outcome(NAME, runs, acknowledged=10 * runs, lost=2)
            raise broken
        return outcome

    return Scenario(NAME, 25, 10, 1, run)


def test_runs_go_on_where_the_last_ones_ended(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    total = Outcome(NAME)
    assert carry_out(scenario(calls), tmp_path, 0.0, total) == ""
    assert (total.done, total.acknowledged, total.seeds) == (10, 100, [1])
    assert carry_out(scenario(calls), tmp_path, 1e9, total) == ""
    assert calls == [(10, 1), (10, 11), (5, 21)]
    assert (total.done, total.runs, total.acknowledged, total.counts) == (25, 25, 250, {"worker": 25})
    assert carry_out(scenario(calls), tmp_path, 1e9, total) == ""
    assert len(calls) == 3
    assert "| processes killed by `kill -9` | 25 | 250 | 0 |" in front_table({NAME: total})


def test_a_broken_promise_stands_in_the_row_and_on_the_front_page(tmp_path: Path) -> None:
    total = Outcome(NAME)
    assert "lost" in carry_out(scenario([], broken_at=11), tmp_path, 1e9, total)
    assert (total.done, total.lost, total.note) == (10, 2, "BROKEN: lost")
    assert "| 20 | 200 | 2 |" in front_table({NAME: total})
