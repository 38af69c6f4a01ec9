"""Orthanc with auto-routing by its Lua hook: stores, sends to the sink, deletes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.process import HOST, PeerProcess, free_port, peer_process, program

SCRIPT = """
function OnStoredInstance(instanceId, tags, metadata)
  Delete(SendToModality(instanceId, 'sink'))
end
"""


@contextmanager
def relay(sink_ports: list[int], directory: Path) -> Iterator[PeerProcess]:
    """Run Orthanc before the first sink, its store in the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    port, script, path = free_port(), directory / "route.lua", directory / "orthanc.json"
    script.write_text(SCRIPT)
    storage = str(directory / "orthanc.storage")
    configuration = {
        "DicomPort": port,
        "HttpServerEnabled": False,
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
        "DicomModalities": {"sink": ["SINK", HOST, sink_ports[0]]},
        "LuaScripts": [str(script)],
        "OverwriteInstances": True,
        "Plugins": [],
    }
    path.write_text(json.dumps(configuration))
    command = [program("Orthanc"), str(path)]
    with peer_process("orthanc", command, directory, environment={"TCP_NODELAY": "1"}) as peer:
        peer.wait_listening(port)
        peer.port = port
        yield peer
