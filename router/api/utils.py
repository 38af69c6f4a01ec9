"""Check and convert what programs hand in: AE titles, UIDs, bytes; and show bytes in the log."""

from __future__ import annotations

import contextvars
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from router import _config

if TYPE_CHECKING:
    from pydicom.uid import UID

LOGGER = logging.getLogger("router.utils")


@cache
def _uid_class() -> type[UID]:
    from pydicom.uid import UID

    return UID


def as_uid(value: str) -> UID:
    """Return the text as pydicom's UID, unchecked."""
    return _uid_class()(value, validation_mode=0)


def decode_bytes(encoded_value: bytes) -> str:
    """Decode what a peer sent as text by the first of _config.CODECS that can. Raises ValueError."""
    for codec in _config.CODECS:
        try:
            return encoded_value.decode(codec)
        except UnicodeError:
            continue
    raise ValueError(f"{encoded_value!r} cannot be decoded by {', '.join(_config.CODECS)}")


def set_ae(
    value: str | bytes | None, name: str, allow_empty: bool = True, allow_none: bool = True
) -> str | None:
    """Return the value if it may be an AE title.

    name: that of the argument, for the error. Raises TypeError, ValueError.
    """
    if value is None:
        if allow_none:
            return None
        raise TypeError(f"'{name}' must be str, not 'NoneType'")
    if isinstance(value, bytes):
        warnings.warn(f"'{name}' as bytes is deprecated, use str", DeprecationWarning, stacklevel=3)
        value = decode_bytes(value)
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be str, not '{type(value).__name__}'")
    why = ""
    if not value:
        why = "" if allow_empty else "must not be an empty str"
        if not why:
            return value
    elif not value.strip(" "):
        why = "must not consist entirely of spaces"
    else:
        is_valid, why = _config.VALIDATORS["AE"](value)
        if is_valid:
            return value
    _refuse(name, value, why)
    return None


def set_uid(
    value: str | bytes | None,
    name: str,
    allow_empty: bool = True,
    allow_none: bool = True,
    validate: bool = True,
) -> UID | None:
    """Return the value as UID if it may be one. name: that of the argument. Raises TypeError, ValueError."""
    text = check_uid(value, name, allow_empty, allow_none, validate)
    return None if text is None else as_uid(text)


def check_uid(
    value: str | bytes | None,
    name: str,
    allow_empty: bool = True,
    allow_none: bool = True,
    validate: bool = True,
) -> str | None:
    """Return the value as plain text if it may be a UID: set_uid() without pydicom."""
    if value is None:
        if allow_none:
            return None
        raise TypeError(f"'{name}' must be str, bytes or UID, not 'NoneType'")
    if isinstance(value, bytes):
        value = decode_bytes(value)
    if not isinstance(value, str):
        raise TypeError(f"'{name}' must be str, bytes or UID, not '{type(value).__name__}'")
    value = str(value).rstrip("\0")
    if not value and not allow_empty:
        _refuse(name, value, "must not be an empty str")
    if value and validate:
        is_valid, why = _config.VALIDATORS["UI"](value)
        if not is_valid:
            _refuse(name, value, why)
    return value


def validate_uid(uid: str) -> bool:
    """Whether the value may be a UID, as _config says."""
    return bool(_config.VALIDATORS["UI"](uid)[0])


def pretty_bytes(
    bytestream: bytes | BytesIO,
    prefix: str = "  ",
    delimiter: str = "  ",
    items_per_line: int = 16,
    max_size: int | None = 512,
    suffix: str = "",
) -> list[str]:
    """Return lines of hexadecimal octets, for the log; a larger stream is cut to max_size bytes."""
    data = bytestream.getvalue() if isinstance(bytestream, BytesIO) else bytestream
    lines = []
    if max_size is not None and len(data) > max_size:
        lines.append(f"{prefix}Only dumping {max_size} bytes.")
        data = data[:max_size]
    for start in range(0, len(data), items_per_line):
        octets = delimiter.join(f"{octet:02x}" for octet in data[start : start + items_per_line])
        lines.append(prefix + octets + suffix)
    return lines


def make_target(target_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that runs target_fn in a copy of the present context, if _config.PASS_CONTEXTVARS."""
    if not _config.PASS_CONTEXTVARS:
        return target_fn
    context = contextvars.copy_context()

    def run(*args: Any, **kwargs: Any) -> Any:
        # A copy of the copy for each run: one context cannot be entered by two threads at once.
        return context.copy().run(target_fn, *args, **kwargs)

    return run


@contextmanager
def set_timer_resolution(resolution: float | None) -> Iterator[None]:
    """Do nothing: timers here need no resolution of the system's. Kept for programs that call it."""
    yield


def _refuse(name: str, value: str, why: str) -> None:
    message = f"Invalid '{name}' value '{value}' - {why}" if value else f"Invalid '{name}' value - {why}"
    LOGGER.error(message)
    raise ValueError(message)
