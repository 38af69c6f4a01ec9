"""A spool is damaged at random, by a seed, and started: the proof that damage stays where it is.

`python -m tests.spool.mutations --count 20000 [--first SEED] [--jobs N]` runs as many seeds and prints what
was found; `--count 1 --first SEED` repeats one. The default tests run some hundreds (test_mutations.py).

Invariants, for every seed:
  M1  it starts, and starts again: no crash loop.
  M2  what is handed out for delivery is what was stored, facts and every byte, towards its own destinations.
  M3  every record of which no octet was changed is handed out (or settled already, and then not again).
  M4  a record that is lost is reported: as damage, as a dead delivery, as a missing file; in silence only
      past the last proof of durability that is left, where a torn tail cannot be told from damage.
  M5  the second start reports nothing again, and owes nothing new.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from router.spool.faults import RecordDamaged
from router.spool.layout import WorkerDirectory, worker_directory
from router.spool.ledger import LedgerSettings
from router.spool.record import Entry
from router.spool.spool import Spool, SpoolSettings, open_spool
from router.spool.states import DeliveryState, Mark, Selector
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings

from .spool_fixtures import DEADLINE_S, append, crash

SETTINGS = SpoolSettings(
    WriterSettings(segment_bytes=SEGMENT_BYTES_MIN, fsync=False), LedgerSettings(fsync=False)
)
RECORDS = 90
LARGE = (17, 58)  # numbers of the instances that get files of their own
SECTOR_BYTES = 512
DESTINATIONS = ("PACS", "AI")
LEDGERS = ("current", "merged", "behind", "lost")  # merged: its write-ahead log is empty

BROKEN_MAX = 3  # told of one seed

Files = dict[str, bytes]


@dataclass(frozen=True)
class Original:
    """A spool as a killed process left it. settled: entries that its ledger knows to be delivered."""

    files: Files
    entries: dict[int, Entry]
    datasets: dict[int, bytes]
    settled: frozenset[int]
    ends: dict[int, tuple[int, int]]  # entry -> where its record begins and ends in its segment
    proofs: list[tuple[str, int, int, tuple[int, int]]]  # (file, begin, end, place up to which it proves)


@dataclass
class Findings:
    """What one seed, or many, came to. broken: violated invariants, in words."""

    seeds: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    records_hurt: int = 0
    records_lost: int = 0
    reported: int = 0
    silent: int = 0  # past the last proof that is left
    rebuilt: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take in the findings of others."""
        self.seeds += other.seeds
        self.kinds += other.kinds
        self.records_hurt += other.records_hurt
        self.records_lost += other.records_lost
        self.reported += other.reported
        self.silent += other.silent
        self.rebuilt += other.rebuilt
        self.broken += other.broken


@lru_cache(maxsize=len(LEDGERS))
def original(ledger: str) -> Original:
    """Make the spool whose ledger is one of LEDGERS."""
    root = Path(tempfile.mkdtemp(prefix="mutations-"))
    try:
        return _made(root, ledger)
    finally:
        shutil.rmtree(root)


def _made(root: Path, ledger: str) -> Original:
    directory = worker_directory(root, 0)
    spool = open_spool(directory, lambda: None, SETTINGS)
    entries: dict[int, Entry] = {}
    datasets: dict[int, bytes] = {}
    settled: set[int] = set()
    taken: list[Entry] = []
    for number in range(RECORDS):
        chance = random.Random(number)
        length = 70_000 if number in LARGE else chance.choice((0, 40, 300, 2000, 9000, 16_000))
        destinations = DESTINATIONS if number % 3 == 0 else DESTINATIONS[:1]
        entry = append(spool.writer, number, length, destinations=destinations)
        entries[entry.seq] = entry
        datasets[entry.seq] = random.Random(number).randbytes(length)
        taken.append(entry)
        if number % 5 == 4:
            assert spool.writer.flush(DEADLINE_S)
            spool.writer.take_durable()
            if ledger in ("current", "merged") or number < RECORDS // 2:
                spool.ledger.add(taken)
                done = [one for one in taken if one.seq % 7 == 0]
                spool.ledger.mark(
                    [
                        Mark(one.seq, to, DeliveryState.DELIVERED, 1)
                        for one in done
                        for to in one.record.destinations
                    ]
                )
                settled.update(one.seq for one in done)
            taken = []
    assert spool.writer.flush(DEADLINE_S)
    crash(spool.writer)
    spool.ledger.make_durable()
    covered = spool.ledger.covered_up_to()
    if ledger == "merged":
        spool.ledger.close()
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "lock"))
    }
    spool.ledger.close()
    if ledger == "lost":
        files = {name: data for name, data in files.items() if "ledger" not in name}
        settled.clear()
    ends, proofs = _scanned(directory)
    if ledger != "lost":
        proofs.append(("", 0, 0, (covered.segment, covered.offset)))
    return Original(files, entries, datasets, frozenset(settled), ends, proofs)


def _scanned(
    directory: WorkerDirectory,
) -> tuple[dict[int, tuple[int, int]], list[tuple[str, int, int, tuple[int, int]]]]:
    from router.spool.scan import SegmentScan, Sound

    ends: dict[int, tuple[int, int]] = {}
    proofs = []
    for number in directory.segment_numbers():
        name = f"worker-0/segments/{directory.segment_path(number).name}"
        for found in SegmentScan(directory.segment_path(number), number):
            assert isinstance(found, Sound)
            if found.entry is not None:
                ends[found.entry.seq] = found.offset, found.end
            elif found.marker is not None:
                durable = found.marker.durable
                proofs.append((name, found.offset, found.end, (durable.segment, durable.offset)))
    return ends, proofs


# -- mutations: each changes `files` and returns what it was


def _place(files: Files, chance: random.Random, least: int = 1) -> tuple[str, int]:
    """Choose a file by its size, and an offset in its used part."""
    names = [
        name
        for name in files
        if name.endswith((".seg", ".dcmds")) and len(files[name].rstrip(b"\0")) >= least
    ]
    name = chance.choices(names, [len(files[one].rstrip(b"\0")) for one in names])[0]
    return name, chance.randrange(len(files[name].rstrip(b"\0")) - least + 1)


def _put(files: Files, name: str, offset: int, data: bytes) -> None:
    whole = files[name]
    files[name] = (whole[:offset] + data + whole[offset + len(data) :])[: max(len(whole), 0)]


def flip_a_bit(files: Files, chance: random.Random) -> None:
    name, offset = _place(files, chance)
    _put(files, name, offset, bytes([files[name][offset] ^ 1 << chance.randrange(8)]))


def overwrite_some_octets(files: Files, chance: random.Random) -> None:
    name, offset = _place(files, chance)
    _put(files, name, offset, chance.randbytes(chance.randint(1, 64)))


def zero_a_sector(files: Files, chance: random.Random) -> None:
    name, offset = _place(files, chance)
    _put(files, name, offset // SECTOR_BYTES * SECTOR_BYTES, bytes(SECTOR_BYTES))


def fill_a_page_with_noise(files: Files, chance: random.Random) -> None:
    name, offset = _place(files, chance)
    _put(files, name, offset // 4096 * 4096, chance.randbytes(4096))


def write_sectors_to_a_wrong_place(files: Files, chance: random.Random) -> None:
    name, offset = _place(files, chance)
    length = SECTOR_BYTES * chance.choice((1, 8, 64))
    source, start = _place(files, chance)
    data = files[source][start // SECTOR_BYTES * SECTOR_BYTES :][:length]
    _put(files, name, offset // SECTOR_BYTES * SECTOR_BYTES, data)


def write_a_record_over_another(files: Files, chance: random.Random) -> None:
    name, offset = _place(files, chance)
    source, start = _place(files, chance)
    data = files[source]
    begin = data.rfind(b"\xc5DRr", 0, start + 4)
    if begin >= 0:
        _put(files, name, offset // 8 * 8, data[begin : begin + chance.choice((64, 800, 20_000))])


def swap_two_sectors(files: Files, chance: random.Random) -> None:
    name, first = _place(files, chance)
    second = chance.randrange(len(files[name].rstrip(b"\0")))
    first, second = (one // SECTOR_BYTES * SECTOR_BYTES for one in (first, second))
    one, other = (files[name][start : start + SECTOR_BYTES] for start in (first, second))
    if len(one) == len(other):
        _put(files, name, first, other)
        _put(files, name, second, one)


def cut_a_file_short(files: Files, chance: random.Random) -> None:
    name, offset = _place(files, chance)
    files[name] = files[name][:offset]


def lengthen_a_file(files: Files, chance: random.Random) -> None:
    name, _ = _place(files, chance)
    files[name] += chance.randbytes(chance.choice((1, 700, 9000)))


def remove_a_file(files: Files, chance: random.Random) -> None:
    name, _ = _place(files, chance)
    del files[name]


def damage_the_ledger(files: Files, chance: random.Random) -> None:
    names = [name for name in files if "ledger" in name and files[name]]
    if not names:
        return flip_a_bit(files, chance)
    name = chance.choice(names)
    offset = chance.randrange(len(files[name]))
    length = chance.choice((1, 1, 16, 4096))
    return _put(files, name, offset, chance.randbytes(length))


MUTATIONS: tuple[Callable[[Files, random.Random], None], ...] = (
    flip_a_bit,
    flip_a_bit,
    overwrite_some_octets,
    zero_a_sector,
    fill_a_page_with_noise,
    write_sectors_to_a_wrong_place,
    write_a_record_over_another,
    swap_two_sectors,
    cut_a_file_short,
    lengthen_a_file,
    remove_a_file,
    damage_the_ledger,
)


# -- one seed


def examine(seed: int, folder: Path) -> Findings:
    """Damage, start, deliver, start again; return what was found."""
    chance = random.Random(seed)
    source = original(chance.choice(LEDGERS))
    files = dict(source.files)
    findings = Findings(seeds=1)
    for _ in range(chance.choice((1, 1, 2, 3))):
        mutate = chance.choice(MUTATIONS)
        mutate(files, chance)
        findings.kinds[mutate.__name__] += 1
    root = folder / str(seed)
    try:
        for name, data in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        _start_twice(worker_directory(root, 0), source, files, findings)
    except Exception as error:  # M1: whatever it is
        findings.broken.append(f"M1 {type(error).__name__}: {error}")
    finally:
        shutil.rmtree(root)
    del findings.broken[BROKEN_MAX:]
    findings.broken = [f"seed {seed}: {text} ({', '.join(findings.kinds)})" for text in findings.broken]
    return findings


def _start_twice(directory: WorkerDirectory, source: Original, files: Files, findings: Findings) -> None:
    spool = open_spool(directory, lambda: None, SETTINGS)
    try:
        findings.rebuilt += spool.report.ledger_rebuilt
        handed_out = _deliver(spool, source, findings)
        _check_losses(spool, source, files, handed_out, findings)
    finally:
        spool.close()
    again = open_spool(directory, lambda: None, SETTINGS)
    try:
        owed = {(one.seq, to) for to in DESTINATIONS for one in again.ledger.due(to, 2**62, 10_000)}
        if owed or again.report.damages or again.report.missing_deliveries:
            findings.broken.append(
                f"M5 the second start owes {sorted(owed)[:3]}, reports {again.report.damages[:2]}"
            )
    finally:
        again.close()


def _deliver(spool: Spool, source: Original, findings: Findings) -> set[tuple[int, str]]:
    """Hand out everything owed, as a worker does; return what was handed out whole."""
    handed_out = set()
    for destination in DESTINATIONS:
        for one in spool.ledger.due(destination, 2**62, 10_000):
            try:
                data = b"".join(spool.payloads.open_payload(one.entry.location))
            except RecordDamaged:
                spool.ledger.mark([Mark(one.seq, destination, DeliveryState.DEAD, 2, error_class="spool")])
                continue
            expected = source.entries.get(one.seq)
            if (
                expected is None
                or one.entry.record != expected.record
                or data != source.datasets[one.seq]
                or destination not in expected.record.destinations
            ):
                findings.broken.append(f"M2 entry {one.seq} to {destination} is not what was stored")
            handed_out.add((one.seq, destination))
            spool.ledger.mark([Mark(one.seq, destination, DeliveryState.DELIVERED, 2)])
    spool.ledger.make_durable()
    return handed_out


def _check_losses(
    spool: Spool, source: Original, files: Files, handed_out: set[tuple[int, str]], findings: Findings
) -> None:
    dead = {one.seq for one in spool.ledger.find(Selector(state=DeliveryState.DEAD), 10_000)}
    proven = _proven(source, files)
    for seq, entry in source.entries.items():
        is_hurt = _is_hurt(source, files, entry)
        findings.records_hurt += is_hurt
        wanted = {(seq, to) for to in entry.record.destinations}
        if seq in source.settled and not spool.report.ledger_rebuilt:
            if wanted & handed_out and not is_hurt and _has_ledger(source, files):
                findings.broken.append(f"M3 entry {seq} was delivered and is handed out again")
            continue
        if wanted <= handed_out or seq in source.settled:
            continue
        findings.records_lost += 1
        if not is_hurt:
            findings.broken.append(f"M3 entry {seq} was not touched and is not handed out")
        elif _is_reported(spool, source, files, entry, dead):
            findings.reported += 1
        elif (entry.location.segment, source.ends[seq][0]) >= proven or _is_as_if_settled(
            spool, files, entry
        ):
            findings.silent += 1
        else:
            findings.broken.append(f"M4 entry {seq} is lost in silence")


def _is_as_if_settled(spool: Spool, files: Files, entry: Entry) -> bool:
    """Whether a segment is gone and so is the ledger: it might as well have been settled and deleted."""
    return spool.report.ledger_rebuilt and _segment_name(entry.location.segment) not in files


def _is_reported(spool: Spool, source: Original, files: Files, entry: Entry, dead: set[int]) -> bool:
    name = _segment_name(entry.location.segment)
    is_gone, size = name not in files, len(files.get(name, b""))
    begin, end = source.ends[entry.seq]
    segment = entry.location.segment
    report = spool.report
    return (
        entry.seq in dead
        or any(
            damage.segment == segment
            and (
                is_gone
                or (damage.offset < end and begin < damage.offset + damage.length)
                or size
                <= damage.offset + damage.length
                <= begin  # the file ends in damage, before the record
            )
            for damage in report.damages
        )
        or (entry.location.file is not None and report.missing_files > 0)
    )


def _is_hurt(source: Original, files: Files, entry: Entry) -> bool:
    """Whether any octet that holds an entry differs from what was written."""
    begin, end = source.ends[entry.seq]
    places = [(_segment_name(entry.location.segment), begin, end)]
    if entry.location.file is not None:
        places.append((f"worker-0/large/{entry.location.file}", 0, 1 << 40))
    return any(
        name not in files or files[name][start:stop] != source.files[name][start:stop]
        for name, start, stop in places
    )


def _proven(source: Original, files: Files) -> tuple[int, int]:
    """Return the place up to which something that is left unharmed proves durability."""
    has_ledger = _has_ledger(source, files)
    places = [(0, 0)]
    for name, begin, end, place in source.proofs:
        if name == "":
            if has_ledger:
                places.append(place)
        elif name in files and files[name][begin:end] == source.files[name][begin:end]:
            places.append(place)
    return max(places)


def _has_ledger(source: Original, files: Files) -> bool:
    """Whether the ledger is as it was."""
    return all(files.get(name) == data for name, data in source.files.items() if "ledger" in name)


def _segment_name(number: int) -> str:
    return f"worker-0/segments/{number:010d}.seg"


# -- many seeds


def examine_many(seeds: range, folder: Path) -> Findings:
    """Examine seeds one after the other."""
    total = Findings()
    for seed in seeds:
        total.add(examine(seed, folder))
    return total


def _in_a_folder(seeds: range) -> Findings:
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mutations-", dir=base) as folder:
        return examine_many(seeds, Path(folder))


def _parts(first: int, count: int, size: int = 250) -> Iterator[range]:
    for start in range(first, first + count, size):
        yield range(start, min(start + size, first + count))


def main() -> int:
    """Run seeds; return 0 if every invariant held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    total, began = Findings(), time.monotonic()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for found in pool.map(_in_a_folder, _parts(arguments.first, arguments.count)):
            total.add(found)
            print(f"{total.seeds} of {arguments.count} seeds, {len(total.broken)} violations", flush=True)
    print(f"seconds              {time.monotonic() - began:.0f}")
    for name in ("seeds", "records_hurt", "records_lost", "reported", "silent", "rebuilt"):
        print(f"{name:20} {getattr(total, name)}")
    for kind, count in sorted(total.kinds.items()):
        print(f"  {kind:35} {count}")
    for text in total.broken[:50]:
        print("VIOLATED:", text)
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
