"""A storage SCP for load: one thread, one epoll loop, answers C-STORE at once and keeps nothing but counts.

Run as a program it prints `{"port": N}`, then reads words from standard input and answers each with one JSON
line: `report` (counts since the last reset), `uids` (the same and every UID in order of arrival), `reset`
(forget all), `verify` and `trust` (whether every octet is compared with the template of --kind),
`quit`. The end of input ends it too.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import sys
from collections.abc import Callable

from router.bench import wire
from router.bench.instances import template
from router.bench.tally import Layout, Tally

RECEIVE_BYTES = 1 << 18  # one buffer for all associations: it stays in the processor's cache
LISTEN_BACKLOG = 1024
EVENTS_MAX = 64
STDIN = 0


class Peer:
    """One association: the position inside its inbound byte stream and the answers still to be written."""

    __slots__ = (
        "answer",
        "command",
        "dataset_bytes",
        "last",
        "layouts",
        "out",
        "pdu_left",
        "pdv_left",
        "rest",
        "same",
        "sock",
        "uid",
        "wants_out",
    )

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""  # bytes received that are too few to go on
        self.pdu_left = 0  # octets of the current P-DATA-TF after the current PDV
        self.pdv_left = 0  # dataset octets of the current PDV still to come
        self.last = 0  # the current PDV is the dataset's last fragment
        self.command = b""  # fragments of a command set so far
        self.layouts: dict[tuple[int, int], Layout] = {}
        self.uid = b""
        self.answer = b""  # what to send when the dataset is complete
        self.dataset_bytes = 0
        self.same = True  # the dataset so far equals the template
        self.out = bytearray()
        self.wants_out = False


class Sink:
    """The listening socket, its associations and the tally."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.maximum_length: int = options.maximum_length
        self.window: int = options.window
        self.status: int = options.status
        self.template = template(options.kind) if options.kind else None
        self.verify = self.template if options.verify else None
        self.tally = Tally()
        self.buffer = bytearray(RECEIVE_BYTES)
        self.view = memoryview(self.buffer)
        self.listener = socket.create_server((options.host, options.port), backlog=LISTEN_BACKLOG)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.handlers: dict[int, Callable[[], None]] = {
            self.listener.fileno(): self.accept,
            STDIN: self.obey,
        }
        for fd in self.handlers:
            self.epoll.register(fd, select.EPOLLIN)
        self.peers: dict[int, Peer] = {}
        self.quit = False

    def run(self) -> None:
        """Serve until `quit` or the end of standard input."""
        peers, poll = self.peers, self.epoll.poll
        while not self.quit:
            for fd, events in poll(-1, EVENTS_MAX):
                peer = peers.get(fd)
                if peer is None:
                    self.handlers[fd]()
                    continue
                try:
                    if events & select.EPOLLOUT:
                        self.flush(peer)
                    if events & ~select.EPOLLOUT:
                        self.receive(peer)
                except (OSError, ValueError, struct.error, LookupError) as error:
                    print(f"sink: association ended: {error!r}", file=sys.stderr, flush=True)
                    self.close(peer)

    def obey(self) -> None:
        """Carry out the words that wait on standard input."""
        text = os.read(STDIN, 4096).decode()
        if not text:
            self.quit = True
        for word in text.split():
            if word == "reset":
                self.tally = Tally()
            elif word in {"verify", "trust"}:
                self.verify = self.template if word == "verify" else None
            elif word == "quit":
                self.quit = True
            print(json.dumps(self.tally.report(with_uids=word == "uids")), flush=True)

    def accept(self) -> None:
        """Take every waiting connection."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers[sock.fileno()] = Peer(sock)
            self.epoll.register(sock, select.EPOLLIN)

    def close(self, peer: Peer) -> None:
        """Forget an association and close its socket."""
        self.peers.pop(peer.sock.fileno(), None)
        peer.sock.close()

    def receive(self, peer: Peer) -> None:
        """Receive once and consume all that is complete."""
        rest = peer.rest
        if rest:
            kept = len(rest)
            self.buffer[:kept] = rest
            received = peer.sock.recv_into(self.view[kept:])
            end = kept + received
        else:
            received = end = peer.sock.recv_into(self.buffer)
        if not received:
            self.close(peer)
            return
        consumed = self.consume(peer, end)
        peer.rest = bytes(self.view[consumed:end]) if consumed < end else b""
        if peer.out:
            self.flush(peer)

    def flush(self, peer: Peer) -> None:
        """Write what is owed; ask to be woken for the remainder."""
        out = peer.out
        try:
            sent = peer.sock.send(out)
        except BlockingIOError:
            sent = 0
        del out[:sent]
        if peer.wants_out != bool(out):
            peer.wants_out = not peer.wants_out
            self.epoll.modify(peer.sock, select.EPOLLIN | (select.EPOLLOUT if out else 0))

    def consume(self, peer: Peer, end: int) -> int:  # noqa: PLR0912  # one pass, no call per PDU
        """Go through the received bytes up to `end`; return how many were consumed."""
        buffer = self.buffer
        position = 0
        while position < end:
            if peer.pdv_left:
                position = self.take_payload(peer, position, end)
                continue
            start = position
            if peer.pdu_left:
                if end - position < 6:
                    return start
                pdv_length, context_id, header = struct.unpack_from(">IBB", buffer, position)
                pdu_left = peer.pdu_left - 4 - pdv_length
                position += 6
            elif buffer[position] == wire.P_DATA_TF:
                if end - position < 12:
                    return start
                pdu_length, pdv_length, context_id, header = struct.unpack_from(">IIBB", buffer, position + 2)
                pdu_left = pdu_length - 4 - pdv_length
                position += 12
            else:
                position = self.take_control(peer, position, end)
                if position == start:
                    return start
                continue
            payload = pdv_length - 2
            if header & wire.COMMAND_FRAGMENT:
                if end - position < payload:
                    return start
                command = peer.command + buffer[position : position + payload]
                position += payload
                if header & wire.LAST_FRAGMENT:
                    peer.command = b""
                    self.take_command(peer, context_id, bytes(command))
                else:
                    peer.command = bytes(command)
            else:
                peer.pdv_left = payload
                peer.last = header & wire.LAST_FRAGMENT
                if not payload and peer.last:
                    self.complete(peer)
            peer.pdu_left = pdu_left
        return position

    def take_payload(self, peer: Peer, position: int, end: int) -> int:
        """Pass over dataset octets of the current PDV, comparing them if asked; return the new position."""
        take = min(peer.pdv_left, end - position)
        if self.verify is not None and peer.same:
            peer.same = self.verify.holds(self.view[position : position + take], peer.dataset_bytes, peer.uid)
        peer.dataset_bytes += take
        peer.pdv_left -= take
        if not peer.pdv_left and peer.last:
            self.complete(peer)
        return position + take

    def take_command(self, peer: Peer, context_id: int, command: bytes) -> None:
        """Prepare the answer to a C-STORE-RQ, or answer a C-ECHO-RQ at once."""
        key = context_id, len(command)
        layout = peer.layouts.get(key)
        if layout is None or not layout.fits(command):
            fields = wire.decode_command(command)
            if wire.uint(fields[wire.COMMAND_FIELD]) == wire.C_ECHO_RQ:
                peer.out += wire.command_pdu(context_id, wire.response(fields, 0))
                return
            layout = peer.layouts[key] = Layout.of(context_id, command, self.status)
        peer.uid, peer.answer = layout.answer_to(command)
        peer.dataset_bytes = 0
        peer.same = True

    def complete(self, peer: Peer) -> None:
        """Count one instance and owe its answer."""
        peer.out += peer.answer
        whole = self.template is None or peer.dataset_bytes == len(self.template.dataset)
        self.tally.add(peer.uid, peer.dataset_bytes, whole and peer.same)

    def take_control(self, peer: Peer, position: int, end: int) -> int:
        """Answer one PDU that is not P-DATA-TF; return where it ends, or `position` if not all is here."""
        if end - position < 6:
            return position
        (length,) = struct.unpack_from(">I", self.buffer, position + 2)
        after: int = position + 6 + length
        if after > end:
            return position
        pdu_type = self.buffer[position]
        if pdu_type == wire.ASSOCIATE_RQ:
            request = wire.parse_associate(bytes(self.view[position:after]))
            peer.out += wire.associate_ac(request, self.maximum_length, self.window)
            self.tally.associations += 1
        elif pdu_type == wire.RELEASE_RQ:
            peer.out += wire.RELEASE_RP_PDU
        elif pdu_type != wire.ABORT:
            raise ValueError(f"unexpected PDU type {pdu_type}")
        return after


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the sink's options to a parser and parse the command line."""
    parser.add_argument("port", type=int, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--maximum-length", type=int, default=1 << 18, help="announced; 0 = no limit")
    parser.add_argument("--window", type=int, default=16, help="asynchronous operations granted at most")
    parser.add_argument(
        "--status", type=lambda text: int(text, 16), default=0, help="hexadecimal, of all answers"
    )
    parser.add_argument("--kind", help="count instances that have not this kind's length as corrupt")
    parser.add_argument("--verify", action="store_true", help="compare every octet with the kind's template")
    return parser.parse_args()


def main() -> None:
    """Serve as the command line says."""
    sink = Sink(arguments(argparse.ArgumentParser(description=__doc__)))
    print(json.dumps({"port": sink.listener.getsockname()[1]}), flush=True)
    sink.run()


if __name__ == "__main__":
    main()
