"""What the sink keeps of what arrived since the last reset: numbers of instances, octets, faults, times."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from router.bench.hot import Skimmer
from router.bench.instances import NUMBER_BYTES, OWN_PREFIX, UID_BYTES

OWN = OWN_PREFIX.encode()


@dataclass(slots=True)
class Tally:
    """Counts since the last reset; times are CLOCK_MONOTONIC, shared by all processes.

    numbers: the 18 digits behind the prefix of each of the load tool's own UIDs, in no strict order; others:
    UIDs that are not.
    """

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    others: list[bytes] = field(default_factory=list)
    dataset_bytes: int = 0
    corrupt: int = 0
    refused: int = 0
    aborted: int = 0
    associations: int = 0
    last_ns: int = 0

    def add(self, uid: bytes, dataset_bytes: int, is_intact: bool, now_ns: int) -> None:
        """Count one whole instance."""
        number = number_of(uid)
        if number is None:
            self.others.append(uid)
        else:
            self.numbers.append(number)
        self.dataset_bytes += dataset_bytes
        if not is_intact:
            self.corrupt += 1
        self.last_ns = now_ns

    def gather(self, skimmer: Skimmer) -> None:
        """Take over what went through an association's skimmer."""
        if not skimmer.instances:
            return
        self.dataset_bytes += skimmer.octets
        self.corrupt += skimmer.odd_sizes
        self.last_ns = max(self.last_ns, skimmer.last_ns)
        self.numbers.frombytes(skimmer.take_numbers())

    @property
    def instances(self) -> int:
        """How many instances arrived, those that came twice counted twice."""
        return len(self.numbers) + len(self.others)

    def counted(self) -> dict[str, object]:
        """Return what costs nothing to know, as values for JSON."""
        return {
            "instances": self.instances,
            "corrupt": self.corrupt,
            "refused": self.refused,
            "aborted": self.aborted,
            "dataset_bytes": self.dataset_bytes,
            "associations": self.associations,
            "last_ns": self.last_ns,
        }

    def report(self, count: int | None = None, *, with_uids: bool = False) -> dict[str, object]:
        """Return all counts as values for JSON; count: how many instances, from 0, were sent."""
        distinct = len(set(self.numbers)) + len(set(self.others))
        report = self.counted()
        report |= {"distinct": distinct, "duplicates": self.instances - distinct}
        if count is not None:
            report["missing"] = missing_of(self.numbers, count)
        if with_uids:
            own = [f"{OWN_PREFIX}{number:018d}" for number in self.numbers]
            report["uids"] = own + [uid.rstrip(b"\0").decode("latin-1") for uid in self.others]
        return report


def number_of(uid: bytes) -> int | None:
    """Return the digits of one of the load tool's own UIDs; None for others."""
    digits = uid[len(OWN) :]
    return int(digits) if len(uid) == UID_BYTES and uid.startswith(OWN) and digits.isdigit() else None


def missing_of(numbers: Sequence[int], count: int) -> int:
    """Count the instances 0..count-1 of a run that are not among these."""
    seen = bytearray(count)
    run = 10**NUMBER_BYTES
    for number in numbers:
        if number % run < count:
            seen[number % run] = 1
    return count - sum(seen)
