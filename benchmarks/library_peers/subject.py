"""One library doing one thing: the same script for both, as a user would write it, but for the import.

Run as `python -m benchmarks.library_peers.subject LIBRARY CASE PEER_PORT`. It prints `{"port": N}`, the port
of its server (0: it has none), then obeys words on standard input: `go SECONDS` does the case for so long and
prints operations, seconds and CPU seconds; `cpu` prints the CPU seconds so far; the end of input ends it.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.library_peers.find_peers import MATCHES, STUDY_ROOT_FIND
from router.bench.instances import CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN, instance_uid, template
from router.bench.wire import VERIFICATION

HOST = "127.0.0.1"
ASSOCIATIONS_IDLE = 100
SETTLE_S = 1.0
REACTOR_PAUSE_S = 0.05
WARM_UP_OPERATIONS = 20

Operation = Callable[[Any], int]
"""Do it once on an association; return how many operations that was."""


class Checkpoint(threading.Event):
    """Keeps the reactor thread of a pynetdicom association paused, whoever sets it.

    Otherwise the reactor now and then takes a fast peer's answer from under the caller, which then hangs
    until its timeout. This is to pynetdicom's advantage.
    """

    def set(self) -> None:
        """Stay as it is."""


class Subject:
    """The library under its name, and how it does each case."""

    def __init__(self, library: str, peer_port: int) -> None:
        self.name = library
        self.library: Any = importlib.import_module(library)
        self.peer_port = peer_port
        self.server: Any = None

    def associate(self, *contexts: str) -> Any:
        """Associate with the peer."""
        ae = self.library.AE("BENCHMARK")
        for uid in contexts:
            ae.add_requested_context(uid, EXPLICIT_VR_LITTLE_ENDIAN)
        assoc = ae.associate(HOST, self.peer_port)
        if not assoc.is_established:
            raise SystemExit("the peer does not accept the association")
        return assoc

    def repeat(self, seconds: float, context: str, operation: Operation) -> dict[str, float]:
        """Do an operation for so long over one association, and measure."""
        assoc = self.associate(context)
        if self.name == "pynetdicom":
            assoc._reactor_checkpoint = Checkpoint()
            time.sleep(REACTOR_PAUSE_S)
        if operation is not query:
            for _ in range(WARM_UP_OPERATIONS):
                operation(assoc)
        count, cpu_s, started = 0, time.process_time(), time.perf_counter()
        while count == 0 or time.perf_counter() - started < seconds:
            count += operation(assoc)
        elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
        assoc.abort()
        return {"operations": count, "seconds": elapsed_s, "cpu_s": cpu_s}

    def idle(self, seconds: float) -> dict[str, float]:
        """Keep associations open and do nothing."""
        open_ones = [self.associate(VERIFICATION) for _ in range(ASSOCIATIONS_IDLE)]
        time.sleep(SETTLE_S)
        cpu_s, started = time.process_time(), time.perf_counter()
        time.sleep(seconds)
        elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
        for assoc in open_ones:
            assoc.abort()
        return {"operations": ASSOCIATIONS_IDLE, "seconds": elapsed_s, "cpu_s": cpu_s}

    def serve(self) -> int:
        """Serve storage, query and verification with handlers that do nothing; return the port."""
        evt = self.library.evt
        matches()
        ae = self.library.AE("BENCHMARK")
        ae.maximum_associations = 2 * ASSOCIATIONS_IDLE
        ae.network_timeout = None
        for context in self.library.AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, EXPLICIT_VR_LITTLE_ENDIAN)
        ae.add_supported_context(STUDY_ROOT_FIND)
        ae.add_supported_context(VERIFICATION)
        handlers = [(evt.EVT_C_STORE, lambda event: 0x0000), (evt.EVT_C_FIND, give_matches)]
        self.server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
        port: int = self.server.server_address[1]
        return port


def echo(assoc: Any) -> int:
    """C-ECHO once."""
    assert assoc.send_c_echo().Status == 0x0000
    return 1


def store(instance: Any) -> Operation:
    """Return the operation that sends this instance."""

    def send(assoc: Any) -> int:
        assert assoc.send_c_store(instance).Status == 0x0000
        return 1

    return send


def query(assoc: Any) -> int:
    """C-FIND once; return the number of matches."""
    found = sum(identifier is not None for _, identifier in assoc.send_c_find(make_match(0), STUDY_ROOT_FIND))
    assert found == MATCHES
    return found


def make_match(number: int) -> Any:
    """Return an identifier as a query at study level has it."""
    from pydicom.dataset import Dataset

    match = Dataset()
    match.QueryRetrieveLevel = "STUDY"
    match.PatientName = "Synthetic^Subject"
    match.PatientID = f"SYNTHETIC-{number}"
    match.StudyDate = "20200101"
    match.AccessionNumber = f"A{number}"
    match.StudyInstanceUID = f"2.25.7001{number}"
    match.NumberOfStudyRelatedInstances = "1"
    return match


def give_matches(event: Any) -> Any:
    """Answer a C-FIND with identifiers made beforehand: making them costs the same with both."""
    for match in matches():
        yield 0xFF00, match


@cache
def matches() -> list[Any]:
    """Return all matches, made once."""
    return [make_match(number) for number in range(MATCHES)]


def write_instance(directory: Path, kind: str = "ct") -> Path:
    """Write an instance (see load.instances) as a DICOM file; return its path."""
    from pydicom import dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.uid import UID

    uid = instance_uid(1, 1)
    dataset = dcmread(DicomBytesIO(template(kind).dataset_of(uid)), force=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(CT_IMAGE_STORAGE)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
    path = directory / f"{kind}.dcm"
    dataset.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return path


def cases(subject: Subject, directory: Path) -> dict[str, Callable[[float], dict[str, float]]]:
    """Return what `go` does in each case; server cases do nothing themselves."""
    from pydicom import dcmread

    path = write_instance(directory)
    dataset = dcmread(path)
    return {
        "echo": lambda s: subject.repeat(s, VERIFICATION, echo),
        "store-path": lambda s: subject.repeat(s, CT_IMAGE_STORAGE, store(path)),
        "store-dataset": lambda s: subject.repeat(s, CT_IMAGE_STORAGE, store(dataset)),
        "find-scu": lambda s: subject.repeat(0.0, STUDY_ROOT_FIND, query),
        "idle-scu": subject.idle,
    }


def main() -> None:
    """Obey until standard input ends."""
    library, case, peer_port = sys.argv[1:]
    subject = Subject(library, int(peer_port))
    with tempfile.TemporaryDirectory(prefix="library-") as directory:
        todo = cases(subject, Path(directory)).get(case)
        port = 0 if todo else subject.serve()
        print(json.dumps({"port": port}), flush=True)
        for line in sys.stdin:
            word, *arguments = line.split()
            if word == "cpu":
                print(json.dumps({"cpu_s": time.process_time()}), flush=True)
            elif word == "go" and todo is not None:
                print(json.dumps(todo(float(arguments[0]))), flush=True)


if __name__ == "__main__":
    main()
