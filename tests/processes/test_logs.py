from __future__ import annotations

import json
import logging
import sys

import pytest

from router.processes.logs import PEERS_MAX, JsonFormatter, PeerLogLimit, TextFormatter, configure


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("router.spool.writer", logging.WARNING, "f", 1, message, arguments, None)
    made.created = 86400.25
    made.__dict__.update(extra)
    return made


def test_text_is_one_line_of_fields() -> None:
    line = TextFormatter("worker-0").format(
        record("assoc=%d ended", 7, fields={"reason": "two words", "n": 1})
    )
    assert line == (
        "time=1970-01-02T00:00:00.250Z level=warning process=worker-0 room=spool assoc=7 ended "
        'reason="two words" n=1'
    )


@pytest.mark.parametrize("text", ["a\nlevel=error forged", "a\r\x1b[2Jb", "a\u202eb\u2028c"])
def test_no_message_ends_its_line_or_drives_a_terminal(text: str) -> None:
    line = TextFormatter("p").format(record("%s", text))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_a_traceback_stays_in_its_line() -> None:
    made = record("failed")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = TextFormatter("p").format(made)
    assert "traceback=" in line
    assert "ValueError: why" in line
    assert len(line.splitlines()) == 1


def test_json_is_one_object_a_line() -> None:
    line = JsonFormatter("worker-0").format(record("two\nlines", fields={"n": 1}))
    assert json.loads(line) == {
        "time": "1970-01-02T00:00:00.250Z",
        "level": "warning",
        "process": "worker-0",
        "room": "spool",
        "message": "two\nlines",
        "n": 1,
    }
    assert "\n" not in line


def test_configure_writes_from_the_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure("warning", "text", "admin-0")
        logging.getLogger("router.x").info("quiet")
        logging.getLogger("router.x").warning("loud")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_lines_over_a_peers_limit_are_left_out_and_counted() -> None:
    limit = PeerLogLimit(lines_max=2, window_s=60)
    assert [limit.admit("10.0.0.1", 0.0) for _ in range(5)] == [0, 0, None, None, None]
    assert limit.admit("10.0.0.2", 0.0) == 0
    assert limit.admit("10.0.0.1", 59.9) is None
    assert limit.admit("10.0.0.1", 60.0) == 4
    assert limit.admit("10.0.0.1", 60.0) == 0


def test_peers_remembered_are_bounded() -> None:
    limit = PeerLogLimit(lines_max=1)
    assert limit.admit("first", 0.0) == 0
    for number in range(PEERS_MAX):
        limit.admit(str(number), 0.0)
    assert limit.admit("first", 0.0) == 0  # forgotten: the longest silent goes first
    assert limit.admit(str(PEERS_MAX - 1), 0.0) is None
