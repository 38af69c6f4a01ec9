"""What an application shows of the log: lines on stderr, from the library and from the application itself."""

from __future__ import annotations

import argparse
import logging
import sys

FORMAT = "%(levelname).1s: %(message)s"
"""Scripts read these lines: the initial of the level, and the message."""

LEVELS = {
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
SHOWN_LOGGERS = ("router", "py.warnings")


class StderrHandler(logging.Handler):
    """Write to what sys.stderr is at the time: a progress bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def set_up_log(args: argparse.Namespace, app: str) -> logging.Logger:
    """Show the log as the options of arguments.add_general() say; return the application's own logger."""
    level = level_of(args)
    handler: logging.Handler = logging.NullHandler() if args.quiet else StderrHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    for name in (*SHOWN_LOGGERS, app):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level)
    logging.captureWarnings(True)
    if level > logging.DEBUG:
        # pydicom warns of every odd value, and quotes it.
        logging.getLogger("py.warnings").setLevel(logging.CRITICAL)
    if args.quiet:
        logging.raiseExceptions = False
    return logging.getLogger(app)


def level_of(args: argparse.Namespace) -> int:
    """Return the least severity that is shown."""
    if args.quiet:
        return logging.CRITICAL + 1
    if args.log_level:
        return LEVELS[args.log_level]
    if args.debug:
        return logging.DEBUG
    return logging.INFO if args.verbose else LEVELS[args.default_level]
