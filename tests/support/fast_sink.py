"""A storage SCP that records every instance before it answers; run as `python -m tests.support.fast_sink`.

It takes any SOP class and transfer syntax. Its bad manners are options: answer late, answer a failure,
abort or
close in the middle, refuse associations. One record per instance received whole (see `ledger.Received`).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from router.bench import wire
from tests.support.streams import PduStream, PeerGone, RecordFile

GATE_POLL_S = 0.01
HANG_S = 3600.0


@dataclass(slots=True)
class Manners:
    """How the sink behaves; counts are over all associations.

    gate: while this file exists no answer leaves. fail_times: so often each UID gets `fail_status` before
    it is taken; -1 = for ever. abort_at, close_at: numbers of instances at which, in the middle of the
    dataset, the association is aborted or reset; abort_all: at every instance. refuse_classes: abstract
    syntaxes that get context result 3. reject: answer every A-ASSOCIATE-RQ with this result, source, reason.
    poison: instances that it cannot bear; how: "abort", "crash" (every association is reset) or "hang".
    """

    delay_s: float = 0.0
    gate: Path | None = None
    fail_status: int = 0xA700
    fail_times: int = 0
    abort_all: bool = False
    abort_at: frozenset[int] = frozenset()
    close_at: frozenset[int] = frozenset()
    refuse_classes: frozenset[str] = frozenset()
    reject: tuple[int, int, int] | None = None
    poison: frozenset[str] = frozenset()
    poison_how: str = "abort"
    failures: Counter[str] = field(default_factory=Counter)


class Acceptor:
    """One association, served by one thread."""

    def __init__(self, sock: socket.socket, number: int, options: argparse.Namespace, shared: Shared) -> None:
        self.stream = PduStream(sock)
        self.number = number
        self.options = options
        self.shared = shared
        self.syntaxes: dict[int, str] = {}
        self.calling = ""
        self.ending = "closed"

    def serve(self) -> None:
        """Serve until release, abort or close."""
        try:
            if self.establish():
                while self.serve_message():
                    pass
        except (PeerGone, OSError):
            pass
        finally:
            self.stream.sock.close()
            print(f"association {self.number} {self.ending}", file=sys.stderr, flush=True)

    def establish(self) -> bool:
        """Answer the A-ASSOCIATE-RQ; False if it was rejected."""
        pdu_type, pdu = self.stream.read_pdu()
        if pdu_type != wire.ASSOCIATE_RQ:
            return False
        manners = self.shared.manners
        if manners.reject is not None:
            self.stream.sock.sendall(wire.associate_rj(*manners.reject))
            return False
        request = wire.parse_associate(pdu)
        self.calling = request.calling_ae_title
        self.syntaxes = {number: offered[1][0] for number, offered in request.proposed.items()}
        options = self.options
        answer = wire.associate_ac(request, options.maximum_length, options.window, manners.refuse_classes)
        self.stream.sock.sendall(answer)
        return True

    def serve_message(self) -> bool:
        """Serve one message; False after release or abort."""
        command = b""
        while True:
            pdu_type, pdu = self.stream.read_pdu()
            self.ending = {wire.RELEASE_RQ: "released", wire.ABORT: "aborted"}.get(pdu_type, "closed")
            if pdu_type == wire.RELEASE_RQ:
                self.stream.sock.sendall(wire.RELEASE_RP_PDU)
            if pdu_type != wire.P_DATA_TF:
                return False
            waiting = self.stream.fragments(pdu)
            while waiting:
                context_id, header, payload = waiting.pop(0)
                command += payload
                if header & wire.LAST_FRAGMENT:
                    return self.answer(context_id, wire.decode_command(command), waiting)

    def answer(
        self, context_id: int, command: dict[int, bytes], waiting: list[tuple[int, int, bytes]]
    ) -> bool:
        """Take the dataset if one follows, record it, and answer."""
        if wire.uint(command[wire.COMMAND_FIELD]) == wire.C_ECHO_RQ:
            self.stream.sock.sendall(wire.command_pdu(context_id, wire.response(command, 0)))
            return True
        manners = self.shared.manners
        order = self.shared.next_instance()
        digest, size = hashlib.sha256(), 0
        for payload in self.payloads(waiting):
            digest.update(payload)
            size += len(payload)
            if manners.abort_all or order in manners.abort_at:
                self.stream.abort()
                return False
            if order in manners.close_at:
                self.stream.close_hard()
                return False
        uid = wire.uid_text(command[wire.AFFECTED_SOP_INSTANCE_UID])
        if uid in manners.poison:
            return self.suffer()
        status = self.shared.status_for(uid)
        time.sleep(manners.delay_s)
        while manners.gate is not None and manners.gate.exists():
            time.sleep(GATE_POLL_S)
        self.shared.records.write(
            uid=uid,
            sha256=digest.hexdigest(),
            status=status,
            dataset_bytes=size,
            sop_class=wire.uid_text(command[wire.AFFECTED_SOP_CLASS_UID]),
            transfer_syntax=self.syntaxes[context_id],
            received_ns=time.monotonic_ns(),
            association=self.number,
            calling_ae_title=self.calling,
        )
        self.stream.sock.sendall(wire.command_pdu(context_id, wire.response(command, status)))
        return True

    def suffer(self) -> bool:
        """Do what the poison does to the sink."""
        how = self.shared.manners.poison_how
        if how == "hang":
            time.sleep(HANG_S)
        elif how == "crash":
            self.shared.reset_all()
        else:
            self.stream.abort()
        return False

    def payloads(self, waiting: list[tuple[int, int, bytes]]) -> Iterator[bytes]:
        """Yield the payloads of the dataset that follows; `waiting` are fragments already read."""
        while True:
            for _, header, payload in waiting:
                yield payload
                if header & wire.LAST_FRAGMENT:
                    return
            pdu_type, pdu = self.stream.read_pdu()
            if pdu_type != wire.P_DATA_TF:
                raise PeerGone(f"PDU type {pdu_type} in the middle of a dataset")
            waiting = self.stream.fragments(pdu)


class Shared:
    """What all associations of the sink have in common."""

    def __init__(self, manners: Manners, records: RecordFile) -> None:
        self.manners = manners
        self.records = records
        self._lock = threading.Lock()
        self._instances = 0
        self._sockets: set[socket.socket] = set()

    def opened(self, sock: socket.socket) -> None:
        """Take note of a connection."""
        with self._lock:
            self._sockets.add(sock)

    def reset_all(self) -> None:
        """End every connection at once, as a crash does."""
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()

    def next_instance(self) -> int:
        """Number the instances in the order in which their commands come, from 1."""
        with self._lock:
            self._instances += 1
            return self._instances

    def status_for(self, uid: str) -> int:
        """Decide what this attempt of the UID is answered."""
        manners = self.manners
        with self._lock:
            if manners.fail_times < 0 or manners.failures[uid] < manners.fail_times:
                manners.failures[uid] += 1
                return manners.fail_status
        return 0


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("records", type=Path)
    parser.add_argument("--maximum-length", type=int, default=1 << 17)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--fail-status", type=lambda text: int(text, 16), default=0xA700)
    parser.add_argument("--fail-times", type=int, default=0)
    parser.add_argument("--abort-at", type=int, action="append", default=[])
    parser.add_argument("--abort-all", type=int, default=0, help="1: abort at every instance")
    parser.add_argument("--close-at", type=int, action="append", default=[])
    parser.add_argument("--refuse-class", action="append", default=[])
    parser.add_argument("--reject", type=int, nargs=3)
    parser.add_argument("--poison", action="append", default=[])
    parser.add_argument("--poison-how", choices=("abort", "crash", "hang"), default="abort")
    options = parser.parse_args()
    manners = Manners(
        delay_s=options.delay_s,
        gate=options.gate,
        fail_status=options.fail_status,
        fail_times=options.fail_times,
        abort_all=bool(options.abort_all),
        abort_at=frozenset(options.abort_at),
        close_at=frozenset(options.close_at),
        refuse_classes=frozenset(options.refuse_class),
        reject=tuple(options.reject) if options.reject else None,
        poison=frozenset(options.poison),
        poison_how=options.poison_how,
    )
    shared = Shared(manners, RecordFile(options.records))
    listener = socket.create_server(("127.0.0.1", options.port), backlog=256)
    print(f"listening on {options.port}", file=sys.stderr, flush=True)
    number = 0
    while True:
        sock, _ = listener.accept()
        number += 1
        shared.opened(sock)
        acceptor = Acceptor(sock, number, options, shared)
        threading.Thread(target=acceptor.serve, daemon=True).start()


if __name__ == "__main__":
    main()
