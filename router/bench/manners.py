"""How a sink behaves beyond accepting everything: it may delay, refuse, abort, reject, and write down."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from router.bench import wire


@dataclass(slots=True)
class Manners:
    """delay_s: before each answer; refuse_status, refuse_every: each n-th instance gets this status (0:
    none); abort_every: each n-th instance is answered by A-ABORT; rejects: every association is rejected.
    """

    delay_s: float = 0.0
    refuse_status: int = 0xA700
    refuse_every: int = 0
    abort_every: int = 0
    rejects: bool = False

    @property
    def are_plain(self) -> bool:
        """Tell whether every instance is answered with success at once."""
        return not (self.delay_s or self.refuse_every or self.abort_every)

    def status_of(self, order: int) -> int:
        """Return the status of the n-th instance, counted from 1."""
        return self.refuse_status if self.refuse_every and order % self.refuse_every == 0 else 0

    def aborts(self, order: int) -> bool:
        """Tell whether the n-th instance ends its association."""
        return bool(self.abort_every) and order % self.abort_every == 0


@dataclass(slots=True)
class Records:
    """A file of JSON lines, one for each instance: UID, size, hash, status, when."""

    file: IO[str]

    def write(self, uid: bytes, dataset_bytes: int, digest: str, status: int) -> None:
        """Write down one instance."""
        line = {
            "uid": wire.uid_text(uid),
            "bytes": dataset_bytes,
            "sha256": digest,
            "status": f"{status:04X}",
            "at_ns": time.monotonic_ns(),
        }
        self.file.write(json.dumps(line) + "\n")


def new_digest() -> hashlib._Hash:
    """Begin the hash of one dataset."""
    return hashlib.sha256()


def add_manners(parser: argparse.ArgumentParser) -> None:
    """Add the options of a sink's behaviour."""
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each answer")
    parser.add_argument(
        "--refuse-every",
        type=int,
        default=0,
        metavar="N",
        help="answer each N-th instance with --refuse-status",
    )
    parser.add_argument(
        "--refuse-status", type=lambda text: int(text, 16), default=0xA700, metavar="HEX", help="default A700"
    )
    parser.add_argument(
        "--abort-every", type=int, default=0, metavar="N", help="answer each N-th instance by A-ABORT"
    )
    parser.add_argument("--reject", action="store_true", help="reject every association")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="write UID, size, SHA-256 and status of each as JSON lines",
    )


def manners_of(options: argparse.Namespace) -> Manners:
    """Return the behaviour that the options ask for."""
    return Manners(
        delay_s=options.delay_ms / 1000,
        refuse_status=options.refuse_status,
        refuse_every=options.refuse_every,
        abort_every=options.abort_every,
        rejects=options.reject,
    )


def manner_words(options: argparse.Namespace) -> list[str]:
    """Return the options again, as they stand on a command line."""
    said = ["--delay-ms", str(options.delay_ms), "--refuse-every", str(options.refuse_every)]
    said += ["--refuse-status", f"{options.refuse_status:X}", "--abort-every", str(options.abort_every)]
    said += ["--reject"] if options.reject else []
    return said + (["--record", str(options.record)] if options.record else [])
