"""A pynetdicom storage SCU; run as `python -m tests.support.pynetdicom_scu PORT LIST RECORDS`.

LIST is that of the fast sender (JSON lines with path and the rest). Each file is sent as pynetdicom sends
files: the encoded dataset untouched. Writes the fast sender's records (see `ledger.Sent`).
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from io import BytesIO
from pathlib import Path

from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from tests.support.streams import RecordFile

REACTOR_PAUSE_S = 0.1


def main() -> None:
    """Send the list over one association; exit 1 if it could not be established."""
    port, lines, records = (
        int(sys.argv[1]),
        Path(sys.argv[2]).read_text().splitlines(),
        RecordFile(Path(sys.argv[3])),
    )
    work = [json.loads(line) for line in lines]
    entity = AE(ae_title="PYNETDICOM")
    for sop_class, transfer_syntax in dict.fromkeys(
        (one["sop_class"], one["transfer_syntax"]) for one in work
    ):
        entity.add_requested_context(sop_class, transfer_syntax)
    association = entity.associate("127.0.0.1", port, ae_title="ROUTER")
    if not association.is_established:
        raise SystemExit("pynetdicom: no association")
    # Its reactor thread would now and then take a fast answer from under this thread: pause it for good.
    association._reactor_checkpoint.clear()
    time.sleep(REACTOR_PAUSE_S)
    for number, one in enumerate(work, 1):
        data = Path(one["path"]).read_bytes()[int(one["dataset_offset"]) :]
        data += bytes(len(data) % 2)
        context = next(
            accepted
            for accepted in association.accepted_contexts
            if (accepted.abstract_syntax, accepted.transfer_syntax[0])
            == (one["sop_class"], one["transfer_syntax"])
        )
        request = C_STORE()
        request.MessageID = number
        request.AffectedSOPClassUID = one["sop_class"]
        request.AffectedSOPInstanceUID = one["sop_instance"]
        request.Priority = 2
        request.DataSet = BytesIO(data)
        sent_ns = time.monotonic_ns()
        assert context.context_id is not None
        association.dimse.send_msg(request, context.context_id)
        _, answer = association.dimse.get_msg(block=True)
        records.write(
            uid=one["sop_instance"],
            sha256=hashlib.sha256(data).hexdigest(),
            status=answer.Status if answer is not None else None,
            sent_ns=sent_ns,
            answered_ns=time.monotonic_ns(),
        )
    association._reactor_checkpoint.set()
    association.release()


if __name__ == "__main__":
    main()
