"""A pynetdicom storage SCP that records what it receives; run as `python -m tests.support.pynetdicom_scp`.

Writes the same records as the fast sink (see `ledger.Received`), taken from the encoded dataset as pynetdicom
hands it over.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from typing import Any

from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, evt
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.support.streams import RecordFile


class Recorder:
    """The C-STORE handler and its counts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.records = RecordFile(options.records)
        self.seen = 0

    def handle_store(self, event: Any) -> int:
        """Record one instance; delay, refuse or abort as the options say."""
        self.seen += 1
        options = self.options
        if self.seen == options.abort_at:
            event.assoc.abort()
            return 0xC000
        time.sleep(options.delay_s)
        status: int = options.status
        data = event.request.DataSet.getvalue()
        self.records.write(
            uid=str(event.request.AffectedSOPInstanceUID),
            sha256=hashlib.sha256(data).hexdigest(),
            status=status,
            dataset_bytes=len(data),
            sop_class=str(event.request.AffectedSOPClassUID),
            transfer_syntax=str(event.context.transfer_syntax),
            received_ns=time.monotonic_ns(),
            association=id(event.assoc) % 100_000,
            calling_ae_title=event.assoc.requestor.ae_title,
        )
        return status


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("records", type=Path)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--status", type=lambda text: int(text, 16), default=0)
    parser.add_argument("--abort-at", type=int, default=0)
    parser.add_argument("--sop-class", action="append", default=[], help="one more that it takes")
    options = parser.parse_args()
    entity = AE(ae_title="PYNETDICOM")
    entity.maximum_pdu_size = 0
    syntaxes = [str(uid) for uid in AllTransferSyntaxes]
    known = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    for uid in [*known, *options.sop_class]:
        entity.add_supported_context(uid, syntaxes)
    entity.add_supported_context(Verification)
    entity.start_server(
        ("127.0.0.1", options.port), evt_handlers=[(evt.EVT_C_STORE, Recorder(options).handle_store)]
    )


if __name__ == "__main__":
    main()
