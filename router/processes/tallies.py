"""The supervisor's own metrics: restarts, readiness, configuration generation, reloads."""

from __future__ import annotations

from router.metrics import catalogue
from router.metrics.page import MetricsPage
from router.processes.launch import ROLES


class Tallies:
    """Counts into the supervisor's page."""

    def __init__(self, page: MetricsPage, codec: str) -> None:
        """Begin the page. codec: the one in use."""
        page.begin(catalogue.SUPERVISOR, 0)
        self._page = page
        self._restarts = {role: page.slot(catalogue.PROCESS_RESTARTS, role=role) for role in ROLES}
        self._ready = page.slot(catalogue.READY)
        self._generation = page.slot(catalogue.CONFIG_GENERATION)
        self._reloads = page.slot(catalogue.CONFIG_RELOADS)
        self._failures = page.slot(catalogue.RELOAD_FAILURES)
        page.set(page.slot(catalogue.CODEC_INFO, codec=codec), 1)
        page.set(self._generation, 1)

    def restarted(self, role: str) -> None:
        """Count the restart of a process."""
        self._page.add(self._restarts[role])

    def ready(self, is_ready: bool) -> None:
        """Show whether the router is ready."""
        self._page.set(self._ready, int(is_ready))

    def reloaded(self, generation: int) -> None:
        """Count a reload and show the configuration's generation."""
        self._page.add(self._reloads)
        self._page.set(self._generation, generation)

    def reload_refused(self) -> None:
        """Count a reload refused because of errors."""
        self._page.add(self._failures)
