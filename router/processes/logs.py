"""The log of every process: lines of key=value or of JSON on standard error, and a limit on lines per peer.

A line's fields: time (UTC), level, process, room (the package the logger's name starts with), then the
message, which by convention is itself key=value with the association id first. `extra={"fields": {...}}` adds
fields.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import OrderedDict
from typing import Any

PEER_LINES_MAX = 20
PEER_WINDOW_S = 60.0
PEERS_MAX = 1024
FIELD_CHARACTERS_MAX = 2000

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str, style: str, process: str) -> None:
    """Send this process's log to standard error.

    Level and style: as in [log]; process: its name in each line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if style == "json" else TextFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(True)
    set_level(level)


def set_level(level: str) -> None:
    """Change the least severity that is written: debug, info, warning or error."""
    logging.getLogger().setLevel(LEVELS[level])
    # asyncio's debug lines tell of selectors, aiohttp's access log of every scrape: never the router's story.
    logging.getLogger("asyncio").setLevel(max(LEVELS[level], logging.INFO))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """One line of key=value an event; a traceback, if any, becomes one quoted field."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        head = (
            f"time={_utc(record.created)} level={record.levelname.lower()} process={self._process} "
            f"room={_room(record.name)} "
        )
        message = _one_line(record.getMessage())
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _extra(self, record).items())
        return head + message + fields


class JsonFormatter(logging.Formatter):
    """One JSON object an event."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "process": self._process,
            "room": _room(record.name),
            "message": record.getMessage(),
            **_extra(self, record),
        }
        return json.dumps(line, default=str)


class PeerLogLimit:
    """At most PEER_LINES_MAX lines a peer and minute, and a count of what was suppressed.

    peer: whatever names it, an address for instance; at most PEERS_MAX are remembered, the longest silent go
    first.
    """

    def __init__(self, lines_max: int = PEER_LINES_MAX, window_s: float = PEER_WINDOW_S) -> None:
        self._lines_max = lines_max
        self._window_s = window_s
        self._peers: OrderedDict[str, list[float]] = OrderedDict()  # window's start, lines in it, suppressed

    def admit(self, peer: str, now: float) -> int | None:
        """Return None if the line must be left out, else how many were left out since the last one."""
        state = self._peers.get(peer)
        if state is None:
            if len(self._peers) >= PEERS_MAX:
                self._peers.popitem(last=False)
            state = self._peers[peer] = [now, 0, 0]
        self._peers.move_to_end(peer)
        if now - state[0] >= self._window_s:
            state[0], state[1] = now, 0
        if state[1] >= self._lines_max:
            state[2] += 1
            return None
        suppressed, state[2] = int(state[2]), 0
        state[1] += 1
        return suppressed


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def _room(name: str) -> str:
    """Return the package below router that a logger belongs to: router.spool.writer is of the room spool."""
    parts = name.split(".")
    return parts[1] if parts[0] == "router" and len(parts) > 1 else parts[0].strip("_")


def _extra(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    fields = dict(getattr(record, "fields", None) or {})
    if record.exc_info:
        fields["traceback"] = formatter.formatException(record.exc_info)
    return fields


def _one_line(text: str) -> str:
    """Escape what would end the line or drive a terminal, whoever put it there (CWE-117)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _quoted(value: object) -> str:
    text = str(value)
    if len(text) > FIELD_CHARACTERS_MAX:
        text = "..." + text[-FIELD_CHARACTERS_MAX:]  # the end of a traceback says what happened
    if text and not any(
        character.isspace() or character in '"=\\' or not character.isprintable() for character in text
    ):
        return text
    return json.dumps(text)
