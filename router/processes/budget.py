"""Restart budget: how soon a dead child is started again, and when that is no longer worth it.

Pure; no clock.
"""

from __future__ import annotations

from collections import deque

RESTARTS_MAX = 10
RESTART_WINDOW_S = 60.0
BACK_OFF_FIRST_S = 0.1
BACK_OFF_MAX_S = 5.0


class RestartBudget:
    """Counts the restarts of one role index within a sliding window."""

    def __init__(self, restarts_max: int = RESTARTS_MAX, window_s: float = RESTART_WINDOW_S) -> None:
        self.restarts_max = restarts_max
        self.window_s = window_s
        self._times: deque[float] = deque()

    def restart(self, now: float) -> float | None:
        """Take one restart at time now; return the seconds to wait before it, None if the budget is used up.

        The first restart in a window is immediate: a single crash should cost as little as possible.
        """
        while self._times and now - self._times[0] >= self.window_s:
            self._times.popleft()
        if len(self._times) >= self.restarts_max:
            return None
        recent = len(self._times)
        self._times.append(now)
        return 0.0 if recent == 0 else min(BACK_OFF_FIRST_S * 2.0 ** (recent - 1), BACK_OFF_MAX_S)
