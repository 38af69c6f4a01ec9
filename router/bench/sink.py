"""A storage SCP for load: one thread, one epoll loop, answers C-STORE at once and keeps nothing but counts.

Run as a program it prints `{"port": N}`, then reads words from standard input and answers each with one JSON
line: `count` (what costs nothing to know), `report` (all counts since the last reset), `audit:N` (and how
many of the instances 0..N-1 are missing), `uids` (and every UID), `reset` (forget all), `verify` and `trust`
(whether every octet is compared with what --kind and --files say), `quit`. The end of input ends it too.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress

from router.bench.acceptor import Acceptor, AssociationEnded, Judgement
from router.bench.kinds import add_kinds, chosen
from router.bench.manners import Records, add_manners, manners_of
from router.bench.tally import Tally

RECEIVE_BYTES = 1 << 18  # one buffer for all associations: it stays in the processor's cache
LISTEN_BACKLOG = 1024
EVENTS_MAX = 64
STDIN = 0


class Sink:
    """The listening socket, its associations and the tally."""

    def __init__(self, options: argparse.Namespace, records: Records | None) -> None:
        self.judgement = Judgement(
            manners_of(options),
            chosen(options) if options.kind or options.files else [],
            options.maximum_length,
            options.window,
            records,
            options.verify,
        )
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
        self.acceptors: dict[int, Acceptor] = {}
        self.delayed: deque[tuple[int, Acceptor, bytes]] = deque()
        self.quit = False

    def run(self) -> None:
        """Serve until `quit` or the end of standard input."""
        acceptors, poll = self.acceptors, self.epoll.poll
        while not self.quit:
            for fd, events in poll(self.answer_delayed() if self.delayed else -1, EVENTS_MAX):
                acceptor = acceptors.get(fd)
                if acceptor is None:
                    self.handlers[fd]()
                    continue
                try:
                    if events & select.EPOLLOUT:
                        self.flush(acceptor)
                    if events & ~select.EPOLLOUT:
                        self.receive(acceptor)
                except AssociationEnded:
                    self.end(acceptor)
                except (OSError, ValueError, struct.error, LookupError, AssertionError) as error:
                    print(f"sink: association ended: {error!r}", file=sys.stderr, flush=True)
                    self.close(acceptor)

    def receive(self, acceptor: Acceptor) -> None:
        """Receive once and consume all that is complete."""
        rest = acceptor.rest
        if rest:
            kept = len(rest)
            self.buffer[:kept] = rest
            received = acceptor.sock.recv_into(self.view[kept:])
            end = kept + received
        else:
            received = end = acceptor.sock.recv_into(self.buffer)
        if not received:
            self.close(acceptor)
            return
        consumed = acceptor.consume(self.buffer, end, time.monotonic_ns())
        acceptor.rest = bytes(self.view[consumed:end]) if consumed < end else b""
        if acceptor.out:
            self.flush(acceptor)

    def flush(self, acceptor: Acceptor) -> None:
        """Write what is owed; ask to be woken for the remainder."""
        out = acceptor.out
        try:
            sent = acceptor.sock.send(out)
        except BlockingIOError:
            sent = 0
        del out[:sent]
        if acceptor.wants_out != bool(out):
            acceptor.wants_out = not acceptor.wants_out
            self.epoll.modify(acceptor.sock, select.EPOLLIN | (select.EPOLLOUT if out else 0))

    def accept(self) -> None:
        """Take every waiting connection."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            later = self.delay if self.judgement.manners.delay_s else None
            self.acceptors[sock.fileno()] = Acceptor(sock, self.judgement, later)
            self.epoll.register(sock, select.EPOLLIN)

    def delay(self, acceptor: Acceptor, answer: bytes, now_ns: int) -> None:
        """Keep an answer until it is due."""
        self.delayed.append((now_ns + int(self.judgement.manners.delay_s * 1e9), acceptor, answer))

    def answer_delayed(self) -> float:
        """Let go what is due; return the seconds until the next."""
        now_ns = time.monotonic_ns()
        while self.delayed and self.delayed[0][0] <= now_ns:
            _, acceptor, answer = self.delayed.popleft()
            if self.acceptors.get(acceptor.sock.fileno()) is acceptor:
                acceptor.out += answer
                try:
                    self.flush(acceptor)
                except OSError:
                    self.close(acceptor)
        return max(0.0, (self.delayed[0][0] - now_ns) / 1e9) if self.delayed else -1

    def end(self, acceptor: Acceptor) -> None:
        """Close an association after what is owed, an A-ABORT perhaps."""
        with suppress(OSError):
            acceptor.sock.send(acceptor.out)
        self.close(acceptor)

    def close(self, acceptor: Acceptor) -> None:
        """Forget an association and close its socket."""
        self.judgement.tally.gather(acceptor.skimmer)
        self.acceptors.pop(acceptor.sock.fileno(), None)
        acceptor.sock.close()

    def obey(self) -> None:
        """Carry out the words that wait on standard input."""
        text = os.read(STDIN, 4096).decode()
        if not text:
            self.quit = True
        for word in text.split():
            self.gather()
            print(json.dumps(self.answer(word)), flush=True)

    def answer(self, word: str) -> dict[str, object]:
        """Carry out one word; return what is to be said."""
        judgement = self.judgement
        if word == "reset":
            judgement.tally = Tally()
        elif word in {"verify", "trust"}:
            judgement.is_verified = word == "verify"
            for acceptor in self.acceptors.values():
                acceptor.skimmer.forget()
        elif word == "quit":
            self.quit = True
        name, _, number = word.partition(":")
        if name == "audit":
            return judgement.tally.report(int(number))
        return (
            judgement.tally.report(with_uids=word == "uids") if name != "count" else judgement.tally.counted()
        )

    def gather(self) -> None:
        """Bring the tally up to date."""
        for acceptor in self.acceptors.values():
            self.judgement.tally.gather(acceptor.skimmer)
        if self.judgement.records is not None:
            self.judgement.records.file.flush()


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the sink's options to a parser and parse the command line."""
    parser.add_argument("port", type=int, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    add_accepting(parser)
    return parser.parse_args()


def add_accepting(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is accepted and how."""
    add_kinds(parser)
    parser.add_argument("--verify", action="store_true", help="compare every octet with --kind and --files")
    parser.add_argument("--maximum-length", type=int, default=1 << 18, help="of a P-DATA-TF; 0 = no limit")
    parser.add_argument("--window", type=int, default=16, help="asynchronous operations granted at most")
    add_manners(parser)


def main() -> None:
    """Serve as the command line says."""
    options = arguments(argparse.ArgumentParser(description=__doc__))
    with ExitStack() as stack:
        records = None
        if options.record:
            records = Records(stack.enter_context(options.record.open("a", encoding="ascii")))
        try:
            sink = Sink(options, records)
        except (OSError, ValueError) as error:
            raise SystemExit(f"sink: {error}") from error
        print(json.dumps({"port": sink.listener.getsockname()[1]}), flush=True)
        sink.run()


if __name__ == "__main__":
    main()
