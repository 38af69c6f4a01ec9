"""The switches of the library: module variables that a program sets, read whenever they matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.api.validators import validate_ae, validate_ui

LOG_HANDLER_LEVEL: str = "standard"
"""What associations log of their PDUs and messages: "standard", or "none". Read when one is created."""

ENFORCE_UID_CONFORMANCE: bool = False
"""Whether a UID must follow PS3.5 section 9.1 to the letter; otherwise 64 characters are the only limit."""

USE_SHORT_DIMSE_AET: bool = True
"""Without effect: AE titles in messages are never padded to 16 characters. Kept for programs that set it."""

LOG_RESPONSE_IDENTIFIERS: bool = True
LOG_REQUEST_IDENTIFIERS: bool = True
"""Whether the identifiers of responses and requests stand in the log at level DEBUG."""

STORE_SEND_CHUNKED_DATASET: bool = False
"""Whether send_c_store of a path refuses to convert: the exact transfer syntax must have been accepted.

A path is streamed without decoding whenever its own transfer syntax was accepted, whatever this says.
"""

STORE_RECV_CHUNKED_DATASET: bool = False
"""Whether datasets of C-STORE requests go to a temporary file as they arrive: Event.dataset_path."""

PASS_CONTEXTVARS: bool = False
"""Whether handlers run in a copy of the context variables of who made the server or association."""

WINDOWS_TIMER_RESOLUTION: float | None = 1
"""Without effect: nothing here polls."""

CODECS: tuple[str, ...] = ("ascii",)
"""Encodings tried in turn for AE titles and UIDs of a peer."""

VALIDATORS: dict[str, Callable[[Any], tuple[bool, str]]] = {"AE": validate_ae, "UI": validate_ui}
"""Who judges a value: called with it, returns whether it is valid, and why not."""

UNRESTRICTED_STORAGE_SERVICE: bool = False
"""Whether an acceptor takes every storage, private and unknown abstract syntax, in any transfer syntax."""
