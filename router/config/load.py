"""Read a configuration file; report every mistake in it at once, each with its key, why and a hint.

No mistake in the file is a traceback. Keys look like `destinations.PACS.port` and `rules[2].when.Modality`:
positions count from 0.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from router.config.conditions import moment_text
from router.config.cross_checks import cross_checks
from router.config.mistakes import Mistakes
from router.config.schema import Config
from router.errors import ConfigErrors

__all__ = ["UNREADABLE_FILE", "check_table", "load_config", "parse_config"]

CONFIG_MAX_BYTES = 16 << 20
UNREADABLE_FILE = "file"  # the key of the one error of a file that cannot be read

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|(end of document))\)$")


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read a file. Raises ConfigErrors, also when the file cannot be read."""
    name = os.fspath(path)
    mistakes = Mistakes(name)
    try:
        with Path(path).open("rb") as file:
            data = file.read(CONFIG_MAX_BYTES + 1)
    except OSError as error:
        mistakes.add(UNREADABLE_FILE, (error.strerror or "cannot be read").lower())
        raise mistakes.errors() from None
    if len(data) > CONFIG_MAX_BYTES:
        mistakes.add("content", f"is longer than {CONFIG_MAX_BYTES} bytes")
        raise mistakes.errors()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mistakes.add("content", f"is not UTF-8 text (byte {error.start})", "is this a TOML file?")
        raise mistakes.errors() from None
    return parse_config(text, name)


def parse_config(text: str, path: str = "<text>") -> Config:
    """Read TOML text; path stands in the errors. Raises ConfigErrors with all mistakes."""
    mistakes = Mistakes(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(mistakes, error, text) from None
    except RecursionError:
        mistakes.add("content", "is nested too deep")
        raise mistakes.errors() from None
    return check_table(table, mistakes)


def check_table(table: dict[str, Any], mistakes: Mistakes) -> Config:
    """Check a parsed file. Raises ConfigErrors with all mistakes."""
    table = _without_moments(table)
    config: Config | None = None
    try:
        config = Config.model_validate(table)
    except ValidationError as error:
        mistakes.add_from_pydantic(error, table)
    cross_checks(table, config, mistakes)
    if config is None or mistakes:
        raise mistakes.errors()
    return config


def _syntax_error(mistakes: Mistakes, error: tomllib.TOMLDecodeError, text: str) -> ConfigErrors:
    """Say where the TOML syntax ends to make sense."""
    message = str(error)
    match = _POSITION.search(message)
    if match is None:
        mistakes.add("syntax", message)
    elif match[3]:
        mistakes.add(f"line {text.count(chr(10)) + 1}", message[: match.start()] + ", the file ends here")
    else:
        hint = _syntax_hint(text.splitlines(), int(match[1]))
        mistakes.add(f"line {match[1]}, column {match[2]}", message[: match.start()], hint)
    return mistakes.errors()


def _syntax_hint(lines: list[str], line: int) -> str:
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    key, equals, value = text.partition("=")
    if not equals and text and not text.startswith("["):
        return "a line is a [table], or key = value"
    if equals and "," in key and not key.strip().startswith('"'):
        return 'a tag as a key stands in quotes: "0008,0060"'
    first = value.strip()[:1]
    if first.isalpha() and value.strip().split()[0] not in ("true", "false"):
        return "text stands in quotes"
    return ""


def _without_moments(value: Any) -> Any:
    """Turn TOML dates and times into DICOM text, so that a Config is plain data."""
    if isinstance(value, dict):
        return {key: _without_moments(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_moments(one) for one in value]
    return moment_text(value) or value
