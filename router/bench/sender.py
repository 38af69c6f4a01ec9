"""A storage SCU for load: one thread, one epoll loop, N associations, every instance its own UID.

The PDUs of an instance are encoded once; for each instance only its UID and Message ID are patched in place.
Each association keeps at most `window` operations under way (1 unless the peer grants more): a closed loop.
Run as a program it prints one JSON line when every answer has come: counts, statuses, times, latencies.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from array import array
from collections import Counter

from router.bench import wire
from router.bench.image import StreamImage
from router.bench.instances import Template, template

CONTEXT_ID = 1
RECEIVE_BYTES = 8192
MESSAGE_ID_MAX = 0xFFFF
EVENTS_MAX = 64
# Status success as it stands in an answer: element 0000,0900, length 2, value 0000.
SUCCESS_ELEMENT = b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"


class AssociationFailed(Exception):
    """The peer refused, aborted, closed, or answered something that a load tool does not understand."""


class Requestor:
    """One association: its image to be patched, what is still to be written and what is under way."""

    __slots__ = ("free", "image", "out", "rest", "sent_ns", "sock", "wants_out", "window")

    def __init__(self, sock: socket.socket, image: StreamImage, window: int) -> None:
        self.sock = sock
        self.image = image
        self.window = window
        self.free = list(range(window, 0, -1))  # message ids not under way
        self.sent_ns = [0] * (window + 1)  # by message id
        self.out: list[memoryview] = []  # still to be written of the instance being sent
        self.rest = b""
        self.wants_out = False


class Sender:
    """All associations to one peer and the counts of what was answered."""

    def __init__(self, options: argparse.Namespace, kind: Template) -> None:
        self.options = options
        self.template = kind
        self.next_number: int = options.start
        self.stop_number: int = options.start + options.count if options.count else sys.maxsize
        self.deadline_ns = sys.maxsize
        self.outstanding = 0
        self.statuses: Counter[int] = Counter()
        self.latencies_ns = array("q")
        self.errors: list[str] = []
        self.epoll = select.epoll()
        self.requestors: dict[int, Requestor] = {}

    def run(self) -> dict[str, object]:
        """Associate, send everything, release; return the report."""
        for _ in range(self.options.associations):
            self.associate()
        started_ns = time.monotonic_ns()
        cpu_s = time.process_time()
        if self.options.duration:
            self.deadline_ns = started_ns + int(self.options.duration * 1e9)
        for requestor in list(self.requestors.values()):
            self.guard(requestor, select.EPOLLOUT)
        while self.outstanding and self.requestors:
            events = self.epoll.poll(self.options.timeout, EVENTS_MAX)
            if not events:
                self.errors.append(f"no answer within {self.options.timeout} s")
                break
            for fd, event in events:
                if fd in self.requestors:
                    self.guard(self.requestors[fd], event)
        ended_ns = time.monotonic_ns()
        cpu_s = time.process_time() - cpu_s
        self.release()
        return self.report(started_ns, ended_ns, cpu_s)

    def associate(self) -> None:
        """Open one association; the peer's answer decides the image's fragments and the window."""
        options = self.options
        sock = socket.create_connection((options.host, options.port), timeout=options.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = (CONTEXT_ID, self.template.sop_class, [self.template.transfer_syntax])
        sock.sendall(
            wire.associate_rq(
                options.called, options.calling, [context], options.maximum_length, options.window
            )
        )
        answer = wire.parse_associate(read_pdu(sock, wire.ASSOCIATE_AC))
        if answer.results.get(CONTEXT_ID, (4, ""))[0] != 0:
            raise AssociationFailed(f"presentation context refused: {answer.results}")
        granted = answer.window[0] if answer.window is not None and options.window > 1 else 1
        window = min(options.window, granted or options.window)
        sock.setblocking(False)
        image = StreamImage(self.template, CONTEXT_ID, options.run, answer.maximum_length)
        self.requestors[sock.fileno()] = Requestor(sock, image, window)
        self.epoll.register(sock, select.EPOLLIN)

    def guard(self, requestor: Requestor, event: int) -> None:
        """Serve one event; an association that fails is counted and left, its operations with it."""
        try:
            if event & ~select.EPOLLOUT:
                self.receive(requestor)
            self.send(requestor)
        except (OSError, ValueError, AssociationFailed) as error:
            self.errors.append(repr(error))
            self.outstanding -= requestor.window - len(requestor.free)
            del self.requestors[requestor.sock.fileno()]
            requestor.sock.close()

    def send(self, requestor: Requestor) -> None:
        """Write as much as the socket takes and the window allows."""
        while requestor.out or requestor.free:
            if not requestor.out and not self.begin(requestor):
                break
            out = requestor.out
            try:
                sent = requestor.sock.sendmsg(out) if len(out) > 1 else requestor.sock.send(out[0])
            except BlockingIOError:
                sent = 0
            while out and sent >= len(out[0]):
                sent -= len(out.pop(0))
            if out:
                out[0] = out[0][sent:]
                break
        if requestor.wants_out != bool(requestor.out):
            requestor.wants_out = not requestor.wants_out
            self.epoll.modify(requestor.sock, select.EPOLLIN | (select.EPOLLOUT if requestor.out else 0))

    def begin(self, requestor: Requestor) -> bool:
        """Patch the next instance into the image; False if there is none left."""
        number = self.next_number
        now_ns = time.monotonic_ns()
        if number >= self.stop_number or now_ns >= self.deadline_ns:
            return False
        self.next_number = number + 1
        message_id = requestor.free.pop()
        requestor.sent_ns[message_id] = now_ns
        requestor.out = requestor.image.patch(number, message_id)
        self.outstanding += 1
        return True

    def receive(self, requestor: Requestor) -> None:
        """Take every whole answer that is there."""
        data = requestor.sock.recv(RECEIVE_BYTES)
        if not data:
            raise AssociationFailed("closed by the peer")
        if requestor.rest:
            data = requestor.rest + data
        position, end = 0, len(data)
        while end - position >= 6:
            after = position + 6 + int.from_bytes(data[position + 2 : position + 6], "big")
            if after > end:
                break
            self.answered(requestor, data[position:after] if after - position < end else data)
            position = after
        requestor.rest = data[position:] if position < end else b""

    def answered(self, requestor: Requestor, pdu: bytes) -> None:
        """Count one answer: one P-DATA-TF that carries a whole C-STORE-RSP."""
        if pdu[0] != wire.P_DATA_TF:
            raise AssociationFailed(f"PDU type {pdu[0]} in place of an answer: {pdu[6:10].hex()}")
        image = requestor.image
        offsets = image.answer_offsets.get(len(pdu))
        if offsets is None or pdu[offsets[1] - 8 : offsets[1] + 2] != SUCCESS_ELEMENT:
            offsets = image.learn_answer(pdu)
        id_offset, status_offset = offsets
        message_id = int.from_bytes(pdu[id_offset : id_offset + 2], "little")
        if not 0 < message_id <= requestor.window or message_id in requestor.free:
            raise AssociationFailed(f"answer to message id {message_id}, which is not under way")
        requestor.free.append(message_id)
        self.outstanding -= 1
        self.latencies_ns.append(time.monotonic_ns() - requestor.sent_ns[message_id])
        self.statuses[int.from_bytes(pdu[status_offset : status_offset + 2], "little")] += 1

    def release(self) -> None:
        """Release every association that is left, without waiting long for the answer."""
        for requestor in self.requestors.values():
            requestor.sock.settimeout(1)
            try:
                requestor.sock.sendall(wire.RELEASE_RQ_PDU if not requestor.out else wire.ABORT_PDU)
                requestor.sock.recv(16)
            except OSError as error:
                self.errors.append(f"release: {error!r}")
            requestor.sock.close()

    def report(self, started_ns: int, ended_ns: int, cpu_s: float) -> dict[str, object]:
        """Return the counts as values for JSON; latencies in seconds."""
        ordered = sorted(self.latencies_ns)
        count = len(ordered)
        return {
            "attempted": self.next_number - self.options.start,
            "answered": count,
            "statuses": {f"{status:04X}": number for status, number in self.statuses.items()},
            "errors": self.errors,
            "started_ns": started_ns,
            "ended_ns": ended_ns,
            "rate": count / ((ended_ns - started_ns) / 1e9),
            "cpu_s": cpu_s,
            "latency_s": {
                f"p{share}": ordered[min(count - 1, count * share // 100)] / 1e9
                for share in (50, 90, 99)
                if count
            },
        }


def read_pdu(sock: socket.socket, expected: int) -> bytes:
    """Read one whole PDU of the expected type from a blocking socket."""
    data = _read(sock, 6)
    data += _read(sock, int.from_bytes(data[2:6], "big"))
    if data[0] != expected:
        raise AssociationFailed(f"PDU type {data[0]} in place of {expected}: {data[6:10].hex()}")
    return data


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise AssociationFailed("closed by the peer")
        data += part
    return data


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the sender's options to a parser and parse the command line."""
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--kind", default="small", help="ct, mr, small or tiny")
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--window", type=int, default=1, help="operations under way on each association")
    parser.add_argument(
        "--count", type=int, default=0, help="instances in total; 0 = until --duration is over"
    )
    parser.add_argument("--duration", type=float, default=0.0, help="seconds; 0 = until --count is sent")
    parser.add_argument("--run", type=int, default=0, help="number of this run, part of each UID")
    parser.add_argument("--start", type=int, default=0, help="number of the first instance, part of its UID")
    parser.add_argument("--called", default="ANY-SCP")
    parser.add_argument("--calling", default="LOAD")
    parser.add_argument("--maximum-length", type=int, default=1 << 18)
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds without any answer before giving up"
    )
    options = parser.parse_args()
    if not 0 < options.window <= MESSAGE_ID_MAX:
        parser.error("--window must be 1..65535")
    if not options.count and not options.duration:
        parser.error("give --count or --duration")
    return options


def main() -> None:
    """Send as the command line says."""
    options = arguments(argparse.ArgumentParser(description=__doc__))
    sender = Sender(options, template(options.kind))
    try:
        report = sender.run()
    except (OSError, AssociationFailed) as error:
        raise SystemExit(f"sender: {error}") from error
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
