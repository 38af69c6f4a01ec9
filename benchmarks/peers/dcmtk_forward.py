"""DCMTK: storescp that starts a dcmsend for every instance, and storescp that only receives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.process import HOST, PeerProcess, free_port, peer_process, program

# DCMTK writes each P-DATA in two sends: without this every operation waits for a delayed ACK (40 ms).
ENVIRONMENT = {"TCP_NODELAY": "1"}


@contextmanager
def relay(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Run storescp before the first sink; it forwards each file by a dcmsend of its own and deletes it."""
    output = directory / "dcmtk.received"
    output.mkdir(parents=True, exist_ok=True)
    forward = f"{program('dcmsend')} -nuc {HOST} {sink_ports[0]} #p/#f && rm #p/#f"
    script = directory / "forward.sh"
    script.write_text(f"#!/bin/sh\n{forward.replace('#p/#f', chr(34) + '$1' + chr(34))}\n")
    script.chmod(0o755)
    options = ["--output-directory", str(output), "--unique-filenames"]
    with _storescp([*options, "--exec-on-reception", f"{script} #p/#f"], directory) as peer:
        yield peer


@contextmanager
def receive_only(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Run storescp that ignores what it receives; the sinks get nothing."""
    del sink_ports
    with _storescp(["--ignore"], directory) as peer:
        yield peer


@contextmanager
def _storescp(options: list[str], directory: Path) -> Iterator[PeerProcess]:
    port = free_port()
    common = ["--fork", "+xa", "--promiscuous", "--bit-preserving", "--max-pdu", "131072"]
    command = [program("storescp"), *common, *options, str(port)]
    with peer_process("storescp", command, directory, environment=ENVIRONMENT) as peer:
        peer.wait_listening(port)
        peer.port = port
        yield peer
