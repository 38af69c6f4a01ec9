"""The settings of qrscp: an ini file, and the command line over it."""

from __future__ import annotations

import argparse
import configparser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from router.apps import arguments

DEFAULT_FILE = Path(__file__).with_name("qrscp.ini")

T = TypeVar("T")


class SettingsError(ValueError):
    """A settings file that cannot be read, or a wrong value in it; the text says where."""


@dataclass(slots=True)
class Settings:
    """What qrscp runs with. destinations: AE title -> (address, port) that C-MOVE may send to."""

    ae_title: str
    port: int
    bind_address: str
    max_pdu: int
    acse_timeout: float
    dimse_timeout: float
    network_timeout: float
    instance_location: Path
    database_location: Path
    log_identifier: bool
    destinations: dict[str, tuple[str, int]]


def read_settings(args: argparse.Namespace) -> Settings:
    """Return the settings: options, else the file of the options, else the defaults. Raises SettingsError."""
    parser = configparser.ConfigParser(interpolation=None)
    _read(parser, DEFAULT_FILE)
    base = Path()
    if args.config is not None:
        parser.remove_section("STORESCP")
        path = Path(args.config)
        _read(parser, path)
        base = path.parent
    section = parser[parser.default_section]

    def setting(name: str, convert: Callable[[str], T]) -> T:
        given: T | None = getattr(args, name)
        configured = _converted(section.name, section, name, convert)
        return configured if given is None else given

    def location(name: str) -> Path:
        given: str | None = getattr(args, name)
        configured = base / _converted(section.name, section, name, _path)
        return configured if given is None else Path(given)

    return Settings(
        setting("ae_title", arguments.ae_title),
        setting("port", arguments.listening_port),
        setting("bind_address", str),
        setting("max_pdu", arguments.pdu_bytes),
        setting("acse_timeout", arguments.seconds),
        setting("dimse_timeout", arguments.seconds),
        setting("network_timeout", arguments.seconds),
        location("instance_location"),
        location("database_location"),
        _converted(section.name, section, "log_identifier", _boolean),
        {name: _destination(parser[name]) for name in parser.sections()},
    )


def _read(parser: configparser.ConfigParser, path: Path) -> None:
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}".replace("\n", " ")) from None


def _destination(section: configparser.SectionProxy) -> tuple[str, int]:
    where = section.name
    try:
        arguments.ae_title(where)
    except argparse.ArgumentTypeError as error:
        raise SettingsError(f"[{where}]: {error}") from None
    if not section.get("address"):
        raise SettingsError(f"[{where}]: a move destination needs address and port")
    if "port" not in section.parser._sections[where]:  # type: ignore[attr-defined]
        raise SettingsError(f"[{where}]: a move destination needs address and port")
    return section["address"], _converted(where, section, "port", arguments.peer_port)


def _converted(where: str, section: configparser.SectionProxy, name: str, convert: Callable[[str], T]) -> T:
    try:
        return convert(section[name])
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise SettingsError(f"[{where}] {name}: {error}") from None


def _path(text: str) -> Path:
    if not text:
        raise ValueError("a path is needed")
    return Path(text)


def _boolean(text: str) -> bool:
    try:
        return configparser.ConfigParser.BOOLEAN_STATES[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither True nor False") from None
