"""What all tests share: peers that must be there, no haste, and the logs of processes where a test fails."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from benchmarks.peers.process import find_program

LOG_TAIL_CHARS = 6000
LOGS_SHOWN_MAX = 8
SHARED_LOGGERS = ("router", "py.warnings")

hypothesis.settings.register_profile("unhurried", deadline=None)  # a loaded machine is no finding
hypothesis.settings.load_profile("unhurried")


def pytest_configure() -> None:
    """Give the programs that tests start what they would have from a terminal.

    They may be interrupted: a shell ignores SIGINT for what it puts in the background, and that is inherited.
    And they keep what they have compiled: hundreds are started, and it is two fifths of a start.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def require_peer() -> Callable[..., None]:
    """Return a function of program names: a missing one fails in CI and is a named skip elsewhere."""

    def require(*names: str) -> None:
        missing = [name for name in names if find_program(name) is None]
        if not missing:
            return
        reason = f"peer not installed: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return require


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what an application that runs in this process does to the log of all that run after it."""
    loggers = [logging.getLogger(name) for name in SHARED_LOGGERS]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    raises = logging.raiseExceptions
    yield
    for logger, (handlers, level, propagates) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagates
    logging.raiseExceptions = raises
    logging.captureWarnings(False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the ends of the log files under a failed test's own directory."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and isinstance(directory, Path):
        for log in sorted(directory.rglob("*.log"))[:LOGS_SHOWN_MAX]:
            text = log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
            if text:
                report.sections.append((str(log.relative_to(directory)), text))
    return report
