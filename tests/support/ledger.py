"""The independent ledger: what senders were told, joined with what sinks received.

It reads the JSON-lines files that the fast peers write and knows nothing of the router.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SUCCESS = frozenset({0x0000, 0xB000, 0xB006, 0xB007})


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt of a sender. status None: no answer came. Times are CLOCK_MONOTONIC."""

    uid: str
    sha256: str
    status: int | None
    sent_ns: int
    answered_ns: int = 0
    error: str = ""

    @property
    def acknowledged(self) -> bool:
        """Whether the sender was told that all is well."""
        return self.status in SUCCESS


@dataclass(frozen=True, slots=True)
class Received:
    """One instance a sink received whole, in the sink's order; status is what it answered."""

    uid: str
    sha256: str
    status: int
    dataset_bytes: int
    sop_class: str
    transfer_syntax: str
    received_ns: int
    association: int
    calling_ae_title: str = ""


@dataclass(slots=True)
class Comparison:
    """The result of `compare`; each list holds UIDs.

    lost: acknowledged to the sender, never taken by the sink. altered: arrived with other octets than were
    ever sent under that UID. extra: never sent. repeated: taken more than once (allowed, but counted).
    """

    acknowledged: int = 0
    delivered: int = 0
    lost: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    @property
    def kept_the_promise(self) -> bool:
        """Whether nothing is lost, altered or invented."""
        return not (self.lost or self.altered or self.extra)

    def __str__(self) -> str:
        """Describe the comparison with a few examples of each fault."""
        parts = [f"{self.acknowledged} acknowledged, {self.delivered} delivered"]
        for word in ("lost", "altered", "extra", "repeated"):
            uids: list[str] = getattr(self, word)
            parts.append(f"{len(uids)} {word}" + (f" (such as {', '.join(uids[:3])})" if uids else ""))
        return "; ".join(parts)


def read_sent(path: Path) -> list[Sent]:
    """Read a sender's log; a torn last line of a killed sender is passed over."""
    return [Sent(**line) for line in _lines(path)]


def read_received(path: Path) -> list[Received]:
    """Read a sink's log."""
    return [Received(**line) for line in _lines(path)]


def compare(sent: Iterable[Sent], received: Iterable[Received]) -> Comparison:
    """Join what was sent with what one sink took."""
    attempts = list(sent)
    digests: dict[str, set[str]] = {}
    for attempt in attempts:
        digests.setdefault(attempt.uid, set()).add(attempt.sha256)
    arrivals = list(received)
    taken = {(arrival.uid, arrival.sha256) for arrival in arrivals if arrival.status in SUCCESS}
    promised = {(attempt.uid, attempt.sha256) for attempt in attempts if attempt.acknowledged}
    counts = Counter(arrival.uid for arrival in arrivals if arrival.status in SUCCESS)
    return Comparison(
        acknowledged=len(promised),
        delivered=len(taken),
        lost=sorted(uid for uid, _ in promised - taken),
        altered=sorted(
            {a.uid for a in arrivals if a.uid in digests and a.sha256 not in digests[a.uid]},
        ),
        extra=sorted({a.uid for a in arrivals if a.uid not in digests}),
        repeated=sorted(uid for uid, count in counts.items() if count > len(digests.get(uid, {""}))),
    )


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    if not path.exists():
        return
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
