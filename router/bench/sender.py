"""A storage SCU for load: one thread, one epoll loop, N associations, every instance its own UID.

The PDUs of an instance are encoded once; for each instance only its UID and Message ID are patched in place.
Each association keeps at most `window` operations under way (1 unless the peer grants more). Without --rate
that is a closed loop; with it instances are due at fixed times, and a latency counts from when its instance
was due. Run as a program it prints one JSON line when every answer has come: counts, statuses, times,
latencies; with --tick also one line at each tick before.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time

from router.bench import wire
from router.bench.hot import ANSWERED_CELL
from router.bench.image import StreamImage
from router.bench.instances import Template
from router.bench.kinds import chosen
from router.bench.latency import filled, new_counts, percentiles_s
from router.bench.requestor import AssociationFailed, Outcomes, Requestor, associate
from router.bench.series import Series
from router.bench.work import Work, add_work

RECEIVE_BYTES = 1 << 16
EVENTS_MAX = 64
BATCH_BYTES = 1 << 17  # small instances that leave in one call where the window allows several
RELEASE_WAIT_S = 1.0
STALL_LOOK_S = 0.5
ERRORS_MAX = 100


class Sender:
    """All associations to one peer and the counts of what was answered."""

    def __init__(self, options: argparse.Namespace, templates: list[Template]) -> None:
        self.options = options
        self.templates = templates
        self.next_number: int = options.start
        self.stop_number: int = options.start + options.count if options.count else sys.maxsize
        self.started_ns = 0
        self.deadline_ns = sys.maxsize
        self.interval_ns = 1e9 / options.rate if options.rate else 0.0
        self.outcomes = Outcomes(options.run, new_counts())
        self.series = Series()
        self.errors: list[str] = []
        self.epoll = select.epoll()
        self.requestors: dict[int, Requestor] = {}
        self.shared: dict[tuple[int, int, int], bytes] = {}
        self.buffer = bytearray(RECEIVE_BYTES)
        self.view = memoryview(self.buffer)
        self.next_tick_ns = 0
        self.lost = 0  # operations of associations that failed

    def run(self) -> dict[str, object]:
        """Associate, send everything, release; return the report."""
        for _ in range(self.options.associations):
            self.associate()
        self.started_ns = self.next_tick_ns = time.monotonic_ns()
        cpu_s = time.process_time()
        if self.options.duration:
            self.deadline_ns = self.started_ns + int(self.options.duration * 1e9)
        for requestor in list(self.requestors.values()):
            self.guard(requestor, 0)
        self.loop()
        ended_ns = time.monotonic_ns()
        cpu_s = time.process_time() - cpu_s
        self.series.add(ended_ns - self.started_ns, self.answered)
        self.release()
        return self.report(ended_ns, cpu_s)

    @property
    def answered(self) -> int:
        """How many answers have come."""
        return self.outcomes.counts[ANSWERED_CELL]

    def associate(self) -> None:
        """Open one association; the peer's answer decides the image's fragments and the window."""
        options = self.options
        sock, answer, contexts = associate(
            (options.host, options.port),
            (options.called, options.calling),
            self.templates,
            (options.maximum_length, options.window, options.timeout),
        )
        granted = answer.window[0] if answer.window is not None and options.window > 1 else 1
        images = [
            StreamImage(
                one,
                contexts[one.sop_class, one.transfer_syntax],
                options.run,
                answer.maximum_length,
                self.shared,
            )
            for one in self.templates
        ]
        sock.setblocking(False)
        window = min(options.window, granted or options.window)
        self.requestors[sock.fileno()] = Requestor(sock, images, window, self.outcomes)
        self.epoll.register(sock, select.EPOLLIN)

    def loop(self) -> None:
        """Serve events until all is sent and answered, nobody is left, or nothing comes for too long."""
        requestors, counts, start = self.requestors, self.outcomes.counts, self.options.start
        patience_s = 0.0 if self.interval_ns else min(self.options.timeout, STALL_LOOK_S)
        heard_ns = time.monotonic_ns()
        while requestors:
            is_waiting = self.next_number - start > counts[ANSWERED_CELL] + self.lost
            if self.interval_ns:
                if not is_waiting and self.is_over(time.monotonic_ns()):
                    break
                self.wait_due()
            elif not is_waiting:
                break
            events = self.epoll.poll(patience_s, EVENTS_MAX)
            for fd, event in events:
                requestor = requestors.get(fd)
                if requestor is not None:
                    self.guard(requestor, event)
            now_ns = time.monotonic_ns()
            if now_ns >= self.next_tick_ns:
                self.tick(now_ns)
            if events or not is_waiting:
                heard_ns = now_ns
            elif now_ns - heard_ns > self.options.timeout * 1e9:
                self.errors.append(f"no answer within {self.options.timeout} s")
                break

    def is_over(self, now_ns: int) -> bool:
        """Tell whether nothing more is to be begun."""
        return self.next_number >= self.stop_number or now_ns >= self.deadline_ns

    def wait_due(self) -> None:
        """Begin what is due on any association that is free; wait for the next due time or an event."""
        now_ns = time.monotonic_ns()
        due_ns = self.due_ns()
        if due_ns <= now_ns:
            for requestor in list(self.requestors.values()):
                if requestor.lane.free and not requestor.out and not self.is_over(now_ns):
                    self.guard(requestor, 0)
            due_ns = self.due_ns()
        wait_s = (due_ns - time.monotonic_ns()) / 1e9
        # epoll's own timeout has steps of 1 ms.
        select.select([self.epoll], [], [], min(max(wait_s, 0.0) if not self.is_over(now_ns) else 0.05, 0.05))

    def due_ns(self) -> int:
        """Return when the next instance is due, with --rate."""
        return self.started_ns + int((self.next_number - self.options.start) * self.interval_ns)

    def guard(self, requestor: Requestor, event: int) -> None:
        """Serve one event; an association that fails is counted and left, its operations with it."""
        try:
            if event & ~select.EPOLLOUT:
                self.receive(requestor)
            if requestor.lane.free or requestor.out:
                self.send(requestor)
        except (OSError, ValueError, LookupError, AssociationFailed) as error:
            if len(self.errors) < ERRORS_MAX:
                self.errors.append(repr(error))
            self.lost += requestor.under_way
            del self.requestors[requestor.sock.fileno()]
            requestor.sock.close()

    def receive(self, requestor: Requestor) -> None:
        """Take every whole answer that is there."""
        kept = len(requestor.rest)
        if kept:
            self.buffer[:kept] = requestor.rest
            received = requestor.sock.recv_into(self.view[kept:])
        else:
            received = requestor.sock.recv_into(self.buffer)
        if not received:
            raise AssociationFailed("closed by the peer")
        requestor.take(self.buffer, kept + received, time.monotonic_ns())

    def send(self, requestor: Requestor) -> None:
        """Write as much as the socket takes and the window allows."""
        sock = requestor.sock
        while requestor.out or requestor.lane.free:
            if not requestor.out and not self.begin(requestor):
                break
            out = requestor.out
            try:
                sent = sock.sendmsg(out) if len(out) > 1 else sock.send(out[0])
            except BlockingIOError:
                sent = 0
            while out and sent >= len(out[0]):
                sent -= len(out.pop(0))
            if out:
                out[0] = out[0][sent:]
                break
        if requestor.wants_out != bool(requestor.out):
            requestor.wants_out = not requestor.wants_out
            self.epoll.modify(sock, select.EPOLLIN | (select.EPOLLOUT if requestor.out else 0))

    def begin(self, requestor: Requestor) -> bool:
        """Patch the next instances into what is to be written; False if there is none to begin now."""
        now_ns = time.monotonic_ns()
        lane, images = requestor.lane, requestor.images
        batch: bytearray | None = None
        while lane.free:
            number = self.next_number
            if number >= self.stop_number or now_ns >= self.deadline_ns:
                break
            sent_ns = self.due_ns() if self.interval_ns else now_ns
            if sent_ns > now_ns:
                break
            image = images[number % len(images)]
            if batch and (image.rest or len(batch) >= BATCH_BYTES):
                break
            self.next_number = number + 1
            image.patch_head(number, lane.begin(number, sent_ns))
            if image.rest or (lane.window == 1 and not batch):
                requestor.out = (
                    [memoryview(image.head), image.rest] if image.rest else [memoryview(image.head)]
                )
                return True
            batch = bytearray(image.head) if batch is None else batch + image.head
        if batch is None:
            return False
        requestor.out = [memoryview(batch)]
        return True

    def tick(self, now_ns: int) -> None:
        """Take down how many answers there are; say so if asked to."""
        elapsed_ns = now_ns - self.started_ns
        self.series.add(elapsed_ns, self.answered)
        self.next_tick_ns = now_ns + self.series.step_ns
        tick_s = self.options.tick
        if tick_s and self.series.is_told(elapsed_ns, tick_s):
            failed = sum(self.outcomes.failures.values())
            line = {"elapsed_s": elapsed_ns / 1e9, "answered": self.answered, "failed": failed}
            print(json.dumps({**line, "associations": len(self.requestors)}), flush=True)

    def release(self) -> None:
        """Release every association that is left, without waiting long for the answer."""
        for requestor in self.requestors.values():
            requestor.sock.settimeout(RELEASE_WAIT_S)
            try:
                requestor.sock.sendall(wire.RELEASE_RQ_PDU if not requestor.out else wire.ABORT_PDU)
                requestor.sock.recv(16)
            except OSError as error:
                self.errors.append(f"release: {error!r}")
            requestor.sock.close()

    def report(self, ended_ns: int, cpu_s: float) -> dict[str, object]:
        """Return the counts as values for JSON; latencies in seconds."""
        count, failures = self.answered, self.outcomes.failures
        statuses = {f"{status:04X}": number for status, number in failures.items()}
        if count > sum(failures.values()):
            statuses["0000"] = count - sum(failures.values())
        cells = filled(self.outcomes.counts)
        elapsed_s = (ended_ns - self.started_ns) / 1e9
        sizes = [len(one.dataset) for one in self.templates]
        return {
            "attempted": self.next_number - self.options.start,
            "answered": count,
            "statuses": statuses,
            "errors": self.errors,
            "started_ns": self.started_ns,
            "ended_ns": ended_ns,
            "elapsed_s": elapsed_s,
            "rate": count / elapsed_s,
            "bytes_per_s": count / elapsed_s * sum(sizes) / len(sizes),
            "cpu_s": cpu_s,
            "latency_s": percentiles_s(cells),
            "latency_cells": cells,
            "series": self.series.points,
        }


def arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the sender's options to a parser and parse the command line."""
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    add_work(parser)
    parser.add_argument("--run", type=int, default=0, help="number of this run, part of each UID")
    parser.add_argument("--start", type=int, default=0, help="number of the first instance, part of its UID")
    parser.add_argument("--tick", type=float, default=0.0, help="seconds between progress lines; 0 = none")
    options = parser.parse_args()
    complaint = Work.of(options).wrong()
    if complaint:
        parser.error(complaint)
    return options


def main() -> None:
    """Send as the command line says."""
    options = arguments(argparse.ArgumentParser(description=__doc__))
    try:
        report = Sender(options, chosen(options)).run()
    except (OSError, ValueError, AssociationFailed) as error:
        raise SystemExit(f"sender: {error}") from error
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
