"""What is asked of the ledger of another worker: which UIDs it owes, and whether an older version."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import SpoolError
from router.spool.elsewhere import owed_uids, owes_older
from router.spool.ledger import Ledger, LedgerSettings
from router.spool.record import Entry, Location
from router.spool.states import DeliveryState, Mark

from .spool_fixtures import record_of


def test_only_what_is_owed_counts_and_only_what_is_older(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, LedgerSettings(fsync=False))
    entries = [
        Entry(n, record_of(n, ("A", "B"), received_ns=n), Location(1, n * 100, 10, 1)) for n in (1, 2, 3)
    ]
    held = Entry(4, record_of(4, ("A",), action="hold"), Location(1, 400, 10, 1))
    ledger.add([*entries, held])
    ledger.mark([Mark(1, name, DeliveryState.DELIVERED, 9) for name in ("A", "B")])
    ledger.mark([Mark(2, "A", DeliveryState.RETRYING, 9), Mark(3, "B", DeliveryState.DEAD, 9)])
    ledger.flush()
    assert owed_uids(path) == {"1.2.3.2", "1.2.3.3"}
    assert owes_older(path, "1.2.3.2", 3, "A")
    assert owes_older(path, "1.2.3.2", 3, "B")
    assert not owes_older(path, "1.2.3.2", 2, "A")  # itself
    assert not owes_older(path, "1.2.3.1", 9, "A")  # delivered
    assert not owes_older(path, "1.2.3.3", 9, "B")  # dead
    assert not owes_older(path, "1.2.3.3", 9, "C")
    ledger.close()


def test_a_ledger_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"none" * 1000)
    with pytest.raises(SpoolError):
        owed_uids(path)
    with pytest.raises(SpoolError):
        owes_older(path, "1.2.3", 1, "A")
