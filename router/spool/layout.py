"""Names and places in the spool, and the lock that keeps it to one owner.

`<path>/lock`, `<path>/incoming/`, `<path>/worker-<n>/{segments,large,quarantine}/`,
`<path>/worker-<n>/{ledger.sqlite,key,misplaced}`. No name is ever made from peer data.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from pathlib import Path

from router.errors import SpoolError
from router.spool.faults import SCARCE_ERRNOS, NotYet

DIRECTORY_MODE = 0o700  # patient data: the owner alone
FILE_MODE = 0o600
KEY_BYTES = 32
OPEN_PATIENCE_S = 30.0
OPEN_RETRY_S = 0.05

_WORKER = re.compile(r"worker-(\d{1,6})")
_SEGMENT = re.compile(r"(\d{10})\.seg")
LARGE_SUFFIX = ".dcmds"
TEMPORARY_SUFFIX = ".tmp"
RECYCLED_SUFFIX = ".free"


class WorkerDirectory:
    """The paths below one worker's spool directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.segments = root / "segments"
        self.large = root / "large"
        self.quarantine = root / "quarantine"
        self.ledger = root / "ledger.sqlite"
        self.lock = root / "lock"
        self.misplaced = root / "misplaced"
        self._key = root / "key"

    def create(self) -> None:
        """Make what is missing and sync the names. Raises OSError."""
        for folder in (self.root, self.segments, self.large, self.quarantine):
            folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if not self._key.exists():
            self._make_key()
        for folder in (self.root, self.root.parent):
            sync_folder(folder)

    def _make_key(self) -> None:
        part = self._key.with_suffix(TEMPORARY_SUFFIX)
        with open(part, "wb", opener=private) as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._key)

    def nonce_of(self, number: int) -> int:
        """Return the nonce that a segment of this number is given: secret, and known without its header.

        Raises OSError if the key cannot be read.
        """
        key = self._key.read_bytes()[:KEY_BYTES]
        digest = hashlib.blake2b(number.to_bytes(8, "little"), digest_size=8, key=key).digest()
        return int.from_bytes(digest, "little")

    def segment_path(self, number: int) -> Path:
        return self.segments / f"{number:010d}.seg"

    def large_path(self, name: str) -> Path:
        return self.large / name

    def segment_numbers(self) -> list[int]:
        """Return the numbers of the segment files present, ascending."""
        matches = (_SEGMENT.fullmatch(name) for name in os.listdir(self.segments))
        return sorted(int(match[1]) for match in matches if match)


def large_name(seq: int) -> str:
    """Return the file name of the large object of entry `seq`."""
    return f"{seq:016d}{LARGE_SUFFIX}"


def worker_directory(path: Path, index: int) -> WorkerDirectory:
    """Return the directory of worker `index` below the spool path."""
    return WorkerDirectory(path / f"worker-{index}")


def worker_directories(path: Path) -> dict[int, WorkerDirectory]:
    """Return every worker directory present, by index: those beyond the configured number need adoption."""
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return {}
    matches = (_WORKER.fullmatch(name) for name in names)
    return {int(match[1]): WorkerDirectory(path / match[0]) for match in matches if match}


def incoming_directory(path: Path) -> Path:
    """Return the folder where acceptors write objects too big for their slab."""
    return path / "incoming"


def open_patiently(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open what is about to be synced; wait a while where there is no descriptor, or no memory, for it.

    Nothing has been asked of the volume by then, so that it may be asked again: not being able to sync yet is
    no failed sync. Blocks: not for the event loop's thread. Raises OSError, NotYet after OPEN_PATIENCE_S.
    """
    end = time.monotonic() + OPEN_PATIENCE_S
    while True:
        try:
            return os.open(path, flags | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in SCARCE_ERRNOS:
                raise
            if time.monotonic() > end:
                raise NotYet(error.errno, error.strerror) from error
        time.sleep(OPEN_RETRY_S)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Blocks as open_patiently does. Raises OSError."""
    descriptor = open_patiently(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private(path: str, flags: int) -> int:
    """Open a file for its owner alone: an opener for `open`."""
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


class SpoolLock:
    """An exclusive flock, held until `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. Raises SpoolError if another process holds it."""
        self._path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise SpoolError(f"the spool at {self._path.parent} is in use by another process") from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; harmless if not held. The file stays: unlinking it would let two owners in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> SpoolLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
