"""Orthanc as a peer: a real archive whose REST interface tells what it holds."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.process import HOST, PeerProcess, free_port, peer_process, program
from tests.support.corpus import dataset_of_file, transfer_syntax_of_file

HTTP_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Orthanc:
    """A running Orthanc: its DICOM port and its REST interface."""

    port: int
    http_port: int
    peer: PeerProcess

    def get(self, path: str) -> bytes:
        """Return the body of a REST resource."""
        with urllib.request.urlopen(
            f"http://{HOST}:{self.http_port}{path}", timeout=HTTP_TIMEOUT_S
        ) as answer:
            body: bytes = answer.read()
            return body

    def post(self, path: str, body: bytes) -> bytes:
        """Post to a REST resource; return the body of the answer."""
        request = urllib.request.Request(f"http://{HOST}:{self.http_port}{path}", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:
            found: bytes = answer.read()
            return found

    def count(self) -> int:
        """Return the number of instances held."""
        found: int = json.loads(self.get("/statistics"))["CountInstances"]
        return found

    def instances(self) -> dict[str, tuple[str, str]]:
        """Return SOP Instance UID -> (transfer syntax, sha256 of the encoded dataset) of everything held."""
        held = {}
        for identifier in json.loads(self.get("/instances")):
            description: dict[str, Any] = json.loads(self.get(f"/instances/{identifier}"))
            data = self.get(f"/instances/{identifier}/file")
            digest = hashlib.sha256(dataset_of_file(data)).hexdigest()
            uid = description["MainDicomTags"]["SOPInstanceUID"]
            held[uid] = (transfer_syntax_of_file(data), digest)
        return held


@contextmanager
def orthanc(
    directory: Path,
    name: str = "orthanc",
    settings: Mapping[str, object] | None = None,
    storage: Path | None = None,
) -> Iterator[Orthanc]:
    """Run Orthanc with an empty store; every transfer syntax and SOP class is accepted, from anybody.

    settings: configuration over the defaults here. storage: where it keeps its data (default: the directory).
    """
    directory.mkdir(parents=True, exist_ok=True)
    port, http_port = free_port(), free_port()
    data = str(storage or directory / f"{name}.storage")
    configuration: dict[str, object] = {
        "Name": name,
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "HttpPort": http_port,
        "StorageDirectory": data,
        "IndexDirectory": data,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
        "UnknownSopClassAccepted": True,
        "AcceptedTransferSyntaxes": ["*"],
        "DeflatedTransferSyntaxAccepted": True,
        "JpegTransferSyntaxAccepted": True,
        "Jpeg2000TransferSyntaxAccepted": True,
        "JpegLosslessTransferSyntaxAccepted": True,
        "JpipTransferSyntaxAccepted": True,
        "Mpeg2TransferSyntaxAccepted": True,
        "RleTransferSyntaxAccepted": True,
        "OverwriteInstances": True,
        "StorageCommitment": False,
        "Plugins": [],
        **(settings or {}),
    }
    path = directory / f"{name}.json"
    path.write_text(json.dumps(configuration, indent=2))
    with peer_process(
        name, [program("Orthanc"), str(path)], directory, environment={"TCP_NODELAY": "1"}
    ) as peer:
        peer.wait_listening(http_port)
        peer.wait_listening(port)
        peer.port = port
        yield Orthanc(port, http_port, peer)
