"""A pynetdicom script that receives, forwards, and answers when the sink has answered.

`relay` runs it; `python -m benchmarks.peers.pynetdicom_forward PORT SINK_PORT` is the script itself.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.process import HOST, REPOSITORY, PeerProcess, free_port, peer_process
from router.bench.instances import EXPLICIT_VR_LITTLE_ENDIAN

REACTOR_PAUSE_S = 0.05


@contextmanager
def relay(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Run the script before the first sink."""
    port = free_port()
    command = [sys.executable, "-m", __name__, str(port), str(sink_ports[0])]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    with peer_process("pynetdicom", command, directory, environment=environment) as peer:
        peer.wait_listening(port)
        peer.port = port
        yield peer


class Checkpoint(threading.Event):
    """Keeps the reactor thread of an outbound association paused, whoever sets it.

    Otherwise the reactor now and then takes a fast peer's answer from under `send_c_store`, which then
    hangs until its timeout. This is to the script's advantage.
    """

    def set(self) -> None:
        """Stay as it is."""


class Forwarder:
    """One outbound association for each inbound one."""

    def __init__(self, sink_port: int) -> None:
        from pynetdicom import AE
        from pynetdicom.presentation import StoragePresentationContexts

        self.sink_port = sink_port
        self.entity = AE(ae_title="FORWARD")
        self.entity.maximum_pdu_size = 0
        for context in StoragePresentationContexts:
            assert context.abstract_syntax is not None
            self.entity.add_supported_context(context.abstract_syntax)
            self.entity.add_requested_context(context.abstract_syntax, EXPLICIT_VR_LITTLE_ENDIAN)
        self.outbound: dict[Any, Any] = {}

    def handle_store(self, event: Any) -> int:
        """Forward one instance; answer what the sink answered."""
        association = self.outbound.get(event.assoc)
        if association is None:
            association = self.outbound[event.assoc] = self.entity.associate(HOST, self.sink_port)
            association._reactor_checkpoint = Checkpoint()
            time.sleep(REACTOR_PAUSE_S)
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        answer = association.send_c_store(dataset)
        return int(getattr(answer, "Status", 0xA700))

    def handle_end(self, event: Any) -> None:
        """Drop the outbound association with the inbound one."""
        association = self.outbound.pop(event.assoc, None)
        if association is not None:
            association.abort()


def main() -> None:
    """Receive and forward until terminated."""
    from pynetdicom import evt

    forwarder = Forwarder(int(sys.argv[2]))
    handlers: list[Any] = [
        (evt.EVT_C_STORE, forwarder.handle_store),
        (evt.EVT_RELEASED, forwarder.handle_end),
        (evt.EVT_ABORTED, forwarder.handle_end),
    ]
    forwarder.entity.start_server((HOST, int(sys.argv[1])), evt_handlers=handlers)


if __name__ == "__main__":
    main()
