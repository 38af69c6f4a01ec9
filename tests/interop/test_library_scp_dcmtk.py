"""The library as SCP for the SCUs of DCMTK, service by service, worklist included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from benchmarks.peers.process import HOST, free_port
from router import AE, ALL_TRANSFER_SYNTAXES, evt
from tests.support.applications import library_scp, run_dcmtk
from tests.support.datasets import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    instance,
    write,
)
from tests.support.dcmtk import file_identity
from tests.support.worklist import WORKLIST_FIND

pytestmark = pytest.mark.interop

IMAGES = 3
STUDY_KEYS = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")
PROPOSALS = {IMPLICIT: "-xi", EXPLICIT: "-xe", DEFLATED: "-xd", BIG_ENDIAN: "-xb"}
"""Transfer syntax -> storescu's option that proposes it."""

RequirePeer = Callable[..., None]


def studied(number: int) -> Dataset:
    return instance(number, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", Modality="CT")


@contextmanager
def serving(handlers: list[Any], *contexts: Any, **settings: Any) -> Iterator[int]:
    """Serve contexts: UIDs, or arguments of add_supported_context(). Yields the port."""
    ae = AE("LIBRARY")
    for context in contexts:
        ae.add_supported_context(*context) if isinstance(context, tuple) else ae.add_supported_context(
            context
        )
    for name, value in settings.items():
        setattr(ae, name, value)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
    assert server is not None
    with ae:
        yield server.server_address[1]


def test_echoscu_is_answered_and_may_abort_or_be_rejected(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("echoscu")
    seen: list[str] = []

    def note(event: Any) -> int:
        seen.append(event.assoc.requestor.ae_title)
        return 0x0000

    with library_scp([VERIFICATION], [(evt.EVT_C_ECHO, note)], require_called_aet=True) as (_, port):
        options = ("-aet", "DCMTK", "-aec", "LIBRARY")
        assert run_dcmtk("echoscu", port, *options, "--repeat", 4, cwd=tmp_path).status == 0
        assert run_dcmtk("echoscu", port, *options, "--abort", cwd=tmp_path).status == 0
        assert run_dcmtk("echoscu", port, *options, "-pts", 38, "-ppc", 128, cwd=tmp_path).status == 0
        rejected = run_dcmtk("echoscu", port, "-aec", "OTHER", cwd=tmp_path)
    assert seen == ["DCMTK"] * 6
    assert rejected.status != 0
    assert "Called AE Title Not Recognized" in rejected.out + rejected.err


@pytest.mark.parametrize("syntax", PROPOSALS)
def test_storescu_stores_in_each_native_syntax(
    syntax: str, tmp_path: Path, require_peer: RequirePeer
) -> None:
    require_peer("storescu")
    got: list[tuple[str, str]] = []

    def store(event: Any) -> int:
        got.append((str(event.context.transfer_syntax), str(event.dataset.PatientID)))
        return 0x0000

    paths = [
        write(instance(number, syntax, pixel_bytes=200_000), tmp_path / f"{number}.dcm") for number in (1, 2)
    ]
    with serving([(evt.EVT_C_STORE, store)], (CT, ALL_TRANSFER_SYNTAXES)) as port:
        done = run_dcmtk("storescu", port, PROPOSALS[syntax], "-R", *paths, cwd=tmp_path)
    assert done.status == 0, done.err
    assert got == [(syntax, "P1"), (syntax, "P2")]


def test_storescu_is_told_a_status(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("storescu")
    path = write(instance(), tmp_path / "file.dcm")
    with serving([(evt.EVT_C_STORE, lambda event: 0xA700)], CT) as port:
        done = run_dcmtk("storescu", port, path, cwd=tmp_path)
    assert "OutOfResources" in done.out + done.err


def test_what_dcmsend_sends_arrives_in_files_unchanged(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("dcmsend")
    (tmp_path / "got").mkdir()
    paths = [write(instance(number, EXPLICIT, 200_000), tmp_path / f"{number}.dcm") for number in (1, 2)]
    handlers = [(evt.EVT_C_STORE, lambda event: 0x0000)]
    with serving(handlers, (CT, EXPLICIT), receive_to=tmp_path / "got") as port:
        done = run_dcmtk("dcmsend", port, "-dn", "-nuc", *paths, cwd=tmp_path)
    assert done.status == 0, done.err
    received = {file_identity(path) for path in (tmp_path / "got").iterdir()}
    assert received == {file_identity(path) for path in paths}


def test_findscu_gets_its_matches_and_may_cancel(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("findscu")
    asked: list[str] = []
    given: list[int] = []

    def find(event: Any) -> Any:
        asked.append(str(event.identifier.QueryRetrieveLevel))
        for number in range(IMAGES if len(asked) == 1 else 10_000):
            if event.is_cancelled:
                given.append(number)
                yield 0xFE00, None
                return
            match = Dataset()
            match.QueryRetrieveLevel, match.StudyInstanceUID = "STUDY", f"1.2.{number}"
            match.PatientName = "Doe^Jane"
            yield 0xFF00, match

    with serving([(evt.EVT_C_FIND, find)], STUDY_FIND) as port:
        keys = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "-X")
        done = run_dcmtk("findscu", port, *keys, cwd=tmp_path)
        assert done.status == 0, done.err
        cancelled = run_dcmtk("findscu", port, *keys[:-1], "--cancel", 2, cwd=tmp_path)
    uids = {dcmread(path, force=True).StudyInstanceUID for path in tmp_path.glob("rsp*.dcm")}
    assert uids == {"1.2.0", "1.2.1", "1.2.2"}
    assert cancelled.status == 0
    assert given
    assert given[0] < 10_000


def test_findscu_reads_a_worklist(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("findscu")

    def find(event: Any) -> Any:
        match, step = Dataset(), Dataset()
        step.Modality = event.identifier.ScheduledProcedureStepSequence[0].Modality
        match.PatientName, match.ScheduledProcedureStepSequence = "Doe^Jane", [step]
        yield 0xFF00, match

    with serving([(evt.EVT_C_FIND, find)], WORKLIST_FIND) as port:
        keys = ("-W", "-k", "PatientName", "-k", "ScheduledProcedureStepSequence[0].Modality=CT", "-X")
        done = run_dcmtk("findscu", port, *keys, cwd=tmp_path)
    assert done.status == 0, done.err
    (path,) = tmp_path.glob("rsp*.dcm")
    assert dcmread(path, force=True).ScheduledProcedureStepSequence[0].Modality == "CT"


def test_getscu_gets_the_instances(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("getscu")

    def get(event: Any) -> Any:
        yield IMAGES
        for number in range(1, IMAGES + 1):
            yield 0xFF00, studied(number)

    (tmp_path / "got").mkdir()
    with serving([(evt.EVT_C_GET, get)], STUDY_GET, (CT, None, True, True)) as port:
        done = run_dcmtk("getscu", port, *STUDY_KEYS, "-od", "got", cwd=tmp_path)
    assert done.status == 0, done.err
    received = {str(dcmread(path).PatientID) for path in (tmp_path / "got").iterdir()}
    assert received == {"P1", "P2", "P3"}


def test_movescu_has_them_sent_to_itself(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("movescu")
    store_port = free_port()

    def move(event: Any) -> Any:
        assert event.move_destination.strip() == "MOVESCU"
        yield HOST, store_port
        yield IMAGES
        for number in range(1, IMAGES + 1):
            yield 0xFF00, studied(number)

    (tmp_path / "got").mkdir()
    ae = AE("LIBRARY")
    ae.add_supported_context(STUDY_MOVE)
    ae.add_requested_context(CT)
    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_C_MOVE, move)])
    assert server is not None
    with ae:
        options = (*STUDY_KEYS, "-aet", "MOVESCU", "-aem", "MOVESCU", "+P", store_port, "-od", "got")
        done = run_dcmtk("movescu", server.server_address[1], *options, cwd=tmp_path)
    assert done.status == 0, done.err
    assert len(list((tmp_path / "got").iterdir())) == IMAGES
