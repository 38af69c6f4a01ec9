"""Show the library's whole log on the terminal."""

from __future__ import annotations

import logging


def debug_logger() -> None:
    """Log everything of this package to stderr, one line each: level's initial and message."""
    logger = logging.getLogger("router")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname).1s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
