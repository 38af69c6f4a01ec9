"""The errors of this package: a class says whose fault it is and what to do.

Messages say what, where, got and allowed: "presentation-context-id 2 is even (PS3.8 section 9.3.2.2); offset
74". Patient data never stands in an error's text.
"""

from __future__ import annotations


class RouterError(Exception):
    """Anything this package raises on purpose."""


class ProtocolError(RouterError):
    """The protocol was not followed. `source` and `reason` are those of the A-ABORT to send (PS3.8 Table
    9-26)."""

    def __init__(self, text: str, *, source: int = 2, reason: int = 0, offset: int | None = None) -> None:
        super().__init__(text if offset is None else f"{text}; offset {offset}")
        self.source = source
        self.reason = reason
        self.offset = offset


class PeerViolation(ProtocolError):
    """The peer broke the protocol: answer with A-ABORT or the failure status, and carry on with the
    others."""


class LocalMisuse(ProtocolError):
    """Our own caller asked for something the protocol does not allow in this state."""


class AssociationRejected(RouterError):
    """The peer answered A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    def __init__(self, result: int, source: int, reason: int, text: str = "") -> None:
        super().__init__(text or f"association rejected: result {result}, source {source}, reason {reason}")
        self.result = result
        self.source = source
        self.reason = reason


class AssociationAborted(RouterError):
    """The association ended without a release: A-ABORT from either side, or the connection was lost."""

    def __init__(self, source: int, reason: int, text: str = "") -> None:
        super().__init__(text or f"association aborted: source {source}, reason {reason}")
        self.source = source
        self.reason = reason


class DeadlineExceeded(RouterError):
    """A wait reached its named deadline."""

    def __init__(self, deadline: str, seconds: float) -> None:
        super().__init__(f"{deadline} of {seconds:g} s exceeded")
        self.deadline = deadline
        self.seconds = seconds


class LimitReached(RouterError):
    """A named limit would be exceeded."""

    def __init__(self, limit: str, value: int, maximum: int) -> None:
        super().__init__(f"{limit} is {value}, allowed {maximum}")
        self.limit = limit
        self.value = value
        self.maximum = maximum


class ConfigError(RouterError):
    """One mistake in a configuration file."""

    def __init__(self, path: str, key: str, why: str, hint: str = "") -> None:
        super().__init__(f"{path}: {key}: {why}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.key = key
        self.why = why
        self.hint = hint


class ConfigErrors(RouterError):
    """Every mistake found in a configuration file."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


class SpoolError(RouterError):
    """The spool cannot keep what it was given: the disk is full, or said it failed."""
