"""HAProxy in TCP mode: bytes in, bytes out; the reference near the physical limit.

With its default buffers of 16 kB a CT costs it twice the time: the larger ones make it the stronger
reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router.bench.ports import free_port
from router.bench.process import HOST, PeerProcess, peer_process, program

CONFIG = """
global
    maxconn 2000
    nbthread 1
    tune.bufsize 262144
defaults
    mode tcp
    timeout connect 5s
    timeout client 300s
    timeout server 300s
listen relay
    bind {host}:{port}
    server sink {host}:{sink_port}
"""


@contextmanager
def relay(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Run HAProxy before the first sink."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "haproxy.cfg"
    config.write_text(CONFIG.format(host=HOST, port=port, sink_port=sink_ports[0]))
    with peer_process("haproxy", [program("haproxy"), "-db", "-f", config], directory) as peer:
        peer.wait_listening(port)
        peer.port = port
        yield peer
