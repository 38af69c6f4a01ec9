"""Slabs, channels, tickets and their two sides, small enough for tests."""

from __future__ import annotations

import mmap
import os

from router.handoff.channel import RING_BYTES_MIN, Channel
from router.handoff.dispatch import Dispatcher
from router.handoff.intake import Intake
from router.handoff.slab import Slab, create_slab_fd
from router.handoff.ticket import Ticket

SLOT = mmap.PAGESIZE


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pair:
    """One acceptor and its workers in this process, each replaceable as by a restart."""

    def __init__(self, workers: int = 1, slots: int = 8, slot_bytes: int = SLOT, **options: float) -> None:
        self.clock = FakeClock()
        self.options = options
        self.slab_fd = create_slab_fd(slots * slot_bytes, slot_bytes)
        self.slabs: list[Slab] = []
        self.channels = [Channel.create(RING_BYTES_MIN) for _ in range(workers)]
        self.start_acceptor()
        self.intakes = [self.start_worker(index) for index in range(workers)]

    def start_acceptor(self) -> None:
        """Begin anew as the successor of whatever acceptor was there."""
        self.slab = Slab.own(os.dup(self.slab_fd))
        self.slabs.append(self.slab)
        self.dispatcher = Dispatcher(
            [channel.acceptor_end() for channel in self.channels],
            self.slab,
            clock=self.clock,
            **self.options,  # type: ignore[arg-type]
        )

    def start_worker(self, index: int, **options: int) -> Intake:
        """Begin anew as the successor of worker `index`, and return its intake."""
        slab = Slab.attach(os.dup(self.slab_fd))
        self.slabs.append(slab)
        intake = Intake(self.channels[index].worker_end(), slab, **options)
        intake.start()
        return intake

    def close(self) -> None:
        """Give every descriptor back; nobody may use the pair afterwards."""
        for slab in self.slabs:
            slab.close()
        for channel in self.channels:
            channel.close()
        os.close(self.slab_fd)

    def ticket(self, slots: int = 1, uid: str = "1.2.3", file: str = "") -> Ticket:
        """Return a ticket for freshly allocated slots; fails if there are none."""
        taken = [self.slab.allocate() for _ in range(slots)]
        assert None not in taken
        return make_ticket(
            self.dispatcher.next_ticket_id(), tuple(i for i in taken if i is not None), uid, file
        )


def make_ticket(ticket_id: int, slots: tuple[int, ...], uid: str = "1.2.3", file: str = "") -> Ticket:
    return Ticket(
        ticket_id=ticket_id,
        slots=slots,
        file=file,
        dataset_bytes=len(slots) * SLOT,
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        sop_instance=uid,
        transfer_syntax="1.2.840.10008.1.2.1",
        calling_ae_title="MODALITY",
        called_ae_title="ROUTER",
        peer_address="192.0.2.17",
        source="",
        ack="stored",
        received_ns=1_700_000_000_000_000_000,
        association_id=42,
    )
