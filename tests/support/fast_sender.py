"""A storage SCU that logs what it was told about every instance; run as `python -m
tests.support.fast_sender`.

What to send is one of: `--files LIST` (JSON lines with path, dataset_offset, sop_class, sop_instance,
transfer_syntax), `--kind K --count N` (synthetic), `--multiframe-bytes N` (streamed). Associations share
the work.
Each attempt gives one record (see `ledger.Sent`); an operation without an answer is recorded with status
null and its error. With `--reconnect-s` a lost association is replaced until that long after the loss.
With `--allowance FILE` no more instances are begun than the number in that file says; it may grow meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from router.bench import wire
from router.bench.instances import instance_uid, template
from tests.support.corpus import Multiframe
from tests.support.streams import PduStream, PeerGone, RecordFile

RECONNECT_PAUSE_S = 0.05
ALLOWANCE_POLL_S = 0.02


class Refused(Exception):
    """The association, or the presentation context needed, was refused."""


@dataclass(slots=True)
class Item:
    """One instance to send; `blocks` yields its dataset, of `dataset_bytes` octets in all."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    dataset_bytes: int
    blocks: Iterator[bytes]


@dataclass(slots=True)
class Work:
    """The instances still to be sent, handed out one by one to all associations."""

    items: Iterator[Item]
    contexts: list[tuple[int, str, list[str]]]
    stop_file: Path | None = None
    pause_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    handed_out: int = 0
    allowance: Path | None = None

    def next(self) -> Item | None:
        """Take the next instance as soon as it is allowed; None when all are taken, or no more is wanted."""
        while not self._may_go_on():
            time.sleep(ALLOWANCE_POLL_S)
        if self.stop_file is not None and self.stop_file.exists():
            return None
        time.sleep(self.pause_s)
        with self.lock:
            item = next(self.items, None)
            self.handed_out += item is not None
            return item

    def _may_go_on(self) -> bool:
        return self.allowance is None or self.handed_out < int(self.allowance.read_text())


class Requestor:
    """One association and its operations under way."""

    def __init__(self, options: argparse.Namespace, work: Work, records: RecordFile) -> None:
        self.options = options
        self.work = work
        self.records = records
        self.under_way: dict[int, dict[str, object]] = {}
        self.context_ids: dict[tuple[str, str], int] = {}
        self.next_id = 0

    def run(self) -> None:
        """Send until the work is done or the association is lost."""
        options = self.options
        sock = socket.create_connection((options.host, options.port), timeout=options.timeout)
        try:
            self.stream = PduStream(sock)
            self.establish()
            while True:
                item = self.work.next() if len(self.under_way) < self.window else None
                if item is not None:
                    self.send(item)
                elif self.under_way:
                    self.take_answer()
                else:
                    break
            sock.sendall(wire.RELEASE_RQ_PDU)
            self.stream.read_pdu()
        except (PeerGone, OSError, Refused) as error:
            for record in self.under_way.values():
                self.records.write(**record, status=None, error=repr(error))
            raise
        finally:
            sock.close()

    def establish(self) -> None:
        """Negotiate every context of the work."""
        options = self.options
        request = wire.associate_rq(
            options.called, options.calling, self.work.contexts, options.maximum_length, options.window
        )
        self.stream.sock.sendall(request)
        pdu_type, pdu = self.stream.read_pdu()
        if pdu_type == wire.ASSOCIATE_RJ:
            raise Refused(f"association rejected {pdu[7]}/{pdu[8]}/{pdu[9]}")
        if pdu_type != wire.ASSOCIATE_AC:
            raise PeerGone(f"PDU type {pdu_type} in place of an A-ASSOCIATE-AC")
        answer = wire.parse_associate(pdu)
        for number, abstract_syntax, transfer_syntaxes in self.work.contexts:
            if answer.results.get(number, (4, ""))[0] == 0:
                self.context_ids[abstract_syntax, transfer_syntaxes[0]] = number
        self.maximum_length = answer.maximum_length
        granted = answer.window[0] if answer.window is not None else 1
        self.window = min(options.window, granted or options.window)

    def send(self, item: Item) -> None:
        """Send one instance, its digest taken from the octets as they go."""
        self.next_id = self.next_id % 0xFFFF + 1
        message_id = self.next_id
        record: dict[str, object] = {"uid": item.sop_instance, "sha256": "", "sent_ns": time.monotonic_ns()}
        context_id = self.context_ids.get((item.sop_class, item.transfer_syntax))
        if context_id is None:
            self.records.write(**record, status=None, error="presentation context refused")
            return
        self.under_way[message_id] = record
        command = wire.command_pdu(context_id, wire.c_store_rq(item.sop_class, item.sop_instance, message_id))
        digest = hashlib.sha256()
        step = wire.fragment_bytes(self.maximum_length)
        sent = 0
        for block in item.blocks:
            digest.update(block)
            for start in range(0, len(block), step):
                payload = block[start : start + step]
                sent += len(payload)
                header = wire.LAST_FRAGMENT if sent == item.dataset_bytes else 0
                self.stream.sock.sendall(
                    command + wire.pdata_head(context_id, header, len(payload)) + payload
                )
                command = b""
        record["sha256"] = digest.hexdigest()

    def take_answer(self) -> None:
        """Read one C-STORE-RSP and record it."""
        pdu_type, pdu = self.stream.read_pdu()
        if pdu_type != wire.P_DATA_TF:
            raise PeerGone(f"PDU type {pdu_type}, {pdu[8]}/{pdu[9]}")
        for _, _, payload in self.stream.fragments(pdu):
            answer = wire.decode_command(payload)
            record = self.under_way.pop(wire.uint(answer[wire.MESSAGE_ID_BEING_RESPONDED_TO]))
            status = wire.uint(answer[wire.STATUS])
            self.records.write(**record, status=status, answered_ns=time.monotonic_ns())


def keep_sending(options: argparse.Namespace, work: Work, records: RecordFile, failures: list[str]) -> None:
    """Run one association after another until the work is done or the patience is over."""
    lost_at = time.monotonic()
    while True:
        started = time.monotonic()
        requestor = Requestor(options, work, records)
        try:
            requestor.run()
            return
        except (PeerGone, OSError, Refused) as error:
            print(f"association lost: {error!r}", file=sys.stderr, flush=True)
            if requestor.next_id:
                lost_at = time.monotonic()
            if started > lost_at + options.reconnect_s or not options.reconnect_s:
                failures.append(repr(error))
                return
            time.sleep(RECONNECT_PAUSE_S)


def synthetic_items(kind: str, run: int, start: int, count: int) -> Iterator[Item]:
    """Yield synthetic instances."""
    model = template(kind)
    for number in range(start, start + count):
        uid = instance_uid(run, number)
        dataset = model.dataset_of(uid)
        yield Item(model.sop_class, uid, model.transfer_syntax, len(dataset), iter((dataset,)))


def file_items(lines: list[dict[str, str]]) -> Iterator[Item]:
    """Yield the instances of files, their octets as they are (one NUL more if odd)."""
    for line in lines:
        dataset = Path(line["path"]).read_bytes()[int(line["dataset_offset"]) :]
        dataset += bytes(len(dataset) % 2)
        uids = (line["sop_class"], line["sop_instance"], line["transfer_syntax"])
        yield Item(*uids, len(dataset), iter((dataset,)))


def work_of(options: argparse.Namespace) -> Work:
    """Make the work that the command line asks for."""
    if options.files is not None:
        lines = [json.loads(line) for line in options.files.read_text().splitlines()]
        pairs = list(dict.fromkeys((line["sop_class"], line["transfer_syntax"]) for line in lines))
        contexts = [(2 * index + 1, pair[0], [pair[1]]) for index, pair in enumerate(pairs)]
        return Work(file_items(lines), contexts)
    if options.multiframe_bytes:
        large = Multiframe(instance_uid(options.run, options.start), options.multiframe_bytes)
        uids = (large.sop_class, large.sop_instance, large.transfer_syntax)
        item = Item(*uids, large.dataset_bytes, large.blocks())
        return Work(iter((item,)), [(1, large.sop_class, [large.transfer_syntax])])
    model = template(options.kind)
    items = synthetic_items(options.kind, options.run, options.start, options.count)
    return Work(items, [(1, model.sop_class, [model.transfer_syntax])])


def main() -> None:
    """Send as the command line says; exit 1 if an association could not be kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("records", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--called", default="ROUTER")
    parser.add_argument("--calling", default="SENDER")
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--maximum-length", type=int, default=1 << 17)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--reconnect-s", type=float, default=0.0)
    parser.add_argument("--stop-file", type=Path, help="once this exists nothing new is sent")
    parser.add_argument(
        "--pause-s", type=float, default=0.0, help="before each instance, in each association"
    )
    parser.add_argument("--files", type=Path)
    parser.add_argument("--multiframe-bytes", type=int, default=0)
    parser.add_argument("--kind", default="small")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--run", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--allowance", type=Path)
    options = parser.parse_args()
    work, records, failures = work_of(options), RecordFile(options.records), list[str]()
    work.stop_file, work.pause_s, work.allowance = options.stop_file, options.pause_s, options.allowance
    threads = [
        threading.Thread(target=keep_sending, args=(options, work, records, failures))
        for _ in range(options.associations)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
