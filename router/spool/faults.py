"""What can go wrong in the spool, as errors that say what to do.

No error here carries patient data: entries are named by their number, places by segment and offset.
"""

from __future__ import annotations

import errno
import sqlite3

from router.errors import SpoolError

# Errors after which nothing was kept but the volume is sound: refuse this instance, try the next one. A file
# system that became read-only takes nothing in; it may be made writable again.
# What the process or the machine lacks says nothing about the volume.
SCARCE_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}) | SCARCE_ERRNOS
_WAITING_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY})
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SpoolFull(SpoolError):
    """No room: what was being written was taken back. Refuse it; the spool goes on once there is space."""


class ObjectTooLarge(SpoolFull):
    """No room for a large object, which says nothing about the instances that go into a segment."""


class SpoolFailed(SpoolError):
    """The volume said that it failed: nothing more is accepted until a restart on a sound volume."""


class NotYet(OSError):
    """A step that asks nothing of the medium could not be done for want of something: it may be repeated."""


class RecordDamaged(SpoolError):
    """Acknowledged bytes no longer match their checksum, or are gone. Never send them; quarantine."""


class Unreadable(SpoolError):
    """A read failed, which says nothing of the bytes: no descriptor, no memory, an error of the device. Try
    later."""


class LedgerDamaged(SpoolFailed):
    """The ledger's database is damaged: the next start makes it anew from the segments."""


class UnknownFormat(SpoolError):
    """Written by a newer version of this program: refuse to start rather than call it damage."""


def spool_error(doing: str, error: OSError) -> SpoolError:
    """Return the error to raise for a failed system call: full is transient, everything else is final."""
    text = f"{doing}: {error.strerror or error}"
    return SpoolFull(text) if error.errno in FULL_ERRNOS else SpoolFailed(text)


def ledger_error(error: sqlite3.Error) -> SpoolError:
    """Return the error to raise for a failure of the ledger's database.

    What could not be written was rolled back and may be tried again; a sync that failed never is.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return SpoolFull("the disk is full: the ledger waits")
    if code & 0xFF in _WAITING_CODES or code == sqlite3.SQLITE_IOERR_WRITE:
        return SpoolFull(f"the ledger cannot be written and waits: {name}")
    if code & 0xFF in _DAMAGE_CODES or (not code and isinstance(error, sqlite3.OperationalError)):
        # Without a code: a text that is none.
        return LedgerDamaged(f"ledger: {name}")
    return SpoolFailed(f"ledger: {name}")
