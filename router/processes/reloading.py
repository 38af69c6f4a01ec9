"""SIGHUP: read the configuration again, apply what can be applied live, say what needs a restart.

A configuration with any mistake changes nothing. Settings of reload class "restart" keep their old values, in
the children too, until the router is restarted. One reload runs at a time; requests during one make one more.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any, Protocol

from router.config.load import load_config
from router.config.reload import ReloadPlan, compare
from router.config.schema import Config
from router.drivers.tls_check import tls_dates, tls_digest, tls_mistakes
from router.errors import ConfigErrors
from router.processes import logs
from router.processes.control import write_memfd
from router.processes.member import Member
from router.processes.tallies import Tallies

RELOAD_S = 10.0  # how long the children may take to answer

log = logging.getLogger(__name__)


class Reloadable(Protocol):
    """What of the supervisor a reload works on."""

    config: Config
    generation: int
    path: str
    log_level: str | None
    members: list[Member]

    @property
    def tallies(self) -> Tallies:
        """Where reloads are counted."""

    @property
    def is_draining(self) -> bool:
        """Whether the router is on its way out."""


class Reloading:
    """Carries out reload requests, one after the other."""

    def __init__(self, router: Reloadable) -> None:
        self._router = router
        self._is_wanted = False
        self._task: asyncio.Task[None] | None = None
        self._tls_digest = tls_digest(router.config)

    def request(self) -> None:
        """Reload soon; ignored while the router drains."""
        if self._router.is_draining:
            return
        self._is_wanted = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    def close(self) -> None:
        """Forget what is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        try:
            while self._is_wanted and not self._router.is_draining:
                self._is_wanted = False
                await self._reload()
        finally:
            self._task = None

    async def _reload(self) -> None:
        router = self._router
        try:
            new = read_config(router.path, router.log_level)
            raise_for_tls(new, router.path)
        except ConfigErrors as errors:
            for error in errors.errors:
                log.error("reload refused: %s", error)
            router.tallies.reload_refused()
            log.error(
                "reload refused: %d errors; generation=%d goes on", len(errors.errors), router.generation
            )
            return
        plan = compare(router.config, new)
        for key in plan.restart:
            log.warning("reload: %s changed, which takes effect at the next restart only", key)
        for error, _ in tls_dates(new, router.path):
            log.warning("%s", error)
        digest = tls_digest(new)
        if digest != self._tls_digest:
            self._tls_digest = digest
            plan.next_association.append("certificates")
        if not plan.live and not plan.next_association:
            log.info("reload: nothing to apply; generation=%d goes on", router.generation)
            return
        router.config = keep_restart_settings(router.config, new, plan)
        router.generation += 1
        router.tallies.reloaded(router.generation)
        logs.set_level(router.config.log.level)
        await self._tell_children(plan)

    async def _tell_children(self, plan: ReloadPlan) -> None:
        router, generation = self._router, self._router.generation
        fd = write_memfd("router-config", router.config.dump())
        try:
            answers = {member.name: member.reload(fd, generation) for member in router.members}
        finally:
            os.close(fd)
        await asyncio.wait(answers.values(), timeout=RELOAD_S)
        failed = 0
        for name, answer in answers.items():
            why = answer.result() if answer.done() else f"no answer within {RELOAD_S:g} s"
            if why:
                failed += 1
                log.error("reload generation=%d not applied by child=%s: %s", generation, name, why)
        log.info(
            "reloaded generation=%d live=%s next_association=%s restart=%s failed=%d",
            generation,
            ",".join(plan.live) or "-",
            ",".join(plan.next_association) or "-",
            ",".join(plan.restart) or "-",
            failed,
        )


def read_config(path: str, log_level: str | None) -> Config:
    """Read the configuration file; log_level, if given, goes before the file's. Raises ConfigErrors."""
    config = load_config(path)
    if log_level is None:
        return config
    return config.model_copy(update={"log": config.log.model_copy(update={"level": log_level})})


def raise_for_tls(config: Config, path: str) -> None:
    """Raise ConfigErrors if files of TLS settings cannot be used."""
    if mistakes := tls_mistakes(config, path):
        raise ConfigErrors(mistakes)


def keep_restart_settings(old: Config, new: Config, plan: ReloadPlan) -> Config:
    """Return the new configuration with the old values of what takes effect at a restart only."""
    for key in plan.restart:
        new = _with_value_of(old, new, key.split("."))
    return new


def _with_value_of(old: Any, new: Any, path: list[str]) -> Any:
    """Return a section with one value, at any depth, taken from another section."""
    name, *rest = path
    value = _with_value_of(getattr(old, name), getattr(new, name), rest) if rest else getattr(old, name)
    return new.model_copy(update={name: value})
