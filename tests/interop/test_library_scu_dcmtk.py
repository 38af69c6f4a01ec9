"""The library as SCU with the SCPs of DCMTK, service by service, worklist included."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from benchmarks.peers.process import HOST
from router import AE, build_role, evt
from tests.support.applications import dcmprscp, dcmqrscp, library_scp, wlmscpfs
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
    query,
    write,
)
from tests.support.dcmtk import dcmtk_storescp, file_identity
from tests.support.worklist import WORKLIST_FIND, write_worklist_item

pytestmark = pytest.mark.interop

IMAGES = 3
RequirePeer = Callable[..., None]


def associate(port: int, *contexts: str, called: str = "ANY-SCP", **more: Any) -> Any:
    ae = AE("FINDSCU")
    for uid in contexts:
        ae.add_requested_context(uid)
    return ae.associate(HOST, port, ae_title=called, **more)


def studied(number: int, **more: Any) -> Dataset:
    return instance(
        number, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", Modality="CT",
        InstanceNumber=number, **{"PatientID": "P1", **more},
    )  # fmt: skip


@pytest.fixture(scope="module")
def archive_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("images")
    return [write(studied(number), directory / f"{number}.dcm") for number in range(1, IMAGES + 1)]


def test_echo_is_answered_by_each_scp(
    tmp_path: Path, archive_files: list[Path], require_peer: RequirePeer
) -> None:
    require_peer("storescp", "dcmqrscp", "storescu", "wlmscpfs")
    with ExitStack() as stack:
        store = stack.enter_context(dcmtk_storescp(tmp_path)).port
        archive = stack.enter_context(dcmqrscp(tmp_path, archive_files))
        worklist = stack.enter_context(wlmscpfs(tmp_path, []))
        for port, called in ((store, "ANY"), (archive, "QR"), (worklist, "WL")):
            with associate(port, VERIFICATION, called=called) as assoc:
                assert [assoc.send_c_echo().Status for _ in range(5)] == [0] * 5
            assert assoc.is_released


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN])
def test_store_of_datasets_and_files_in_each_native_syntax(
    syntax: str, tmp_path: Path, require_peer: RequirePeer
) -> None:
    require_peer("storescp")
    path = write(instance(1, syntax, pixel_bytes=300_000), tmp_path / "file.dcm")
    ae = AE()
    ae.add_requested_context(CT, syntax)
    with dcmtk_storescp(tmp_path) as scp:
        with ae.associate(HOST, scp.port) as assoc:
            assert assoc.send_c_store(path).Status == 0x0000
            assert assoc.send_c_store(instance(2, syntax)).Status == 0x0000
            outcomes = [status.Status for _, status in assoc.send_c_store_many([instance(3, syntax), path])]
        assert outcomes == [0, 0]
        received = {dcmread(file).PatientID for file in scp.files()}
        assert received == {"P1", "P2", "P3"}
        if syntax != DEFLATED:
            # DCMTK writes a deflated dataset deflated anew.
            assert file_identity(path) in scp.received()


def test_a_refusal_and_an_abort_are_told(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("storescp")
    with dcmtk_storescp(tmp_path, "refusing", ["--refuse"]) as scp:
        assoc = associate(scp.port, CT)
        assert assoc.is_rejected
        assert assoc.acceptor.primitive.result == 1
    with dcmtk_storescp(tmp_path, "aborting", ["--abort-during"]) as scp:
        assoc = associate(scp.port, CT)
        assert not assoc.send_c_store(instance(pixel_bytes=300_000))
        assert assoc.is_aborted


def test_find_at_each_level_and_a_cancel(
    tmp_path: Path, archive_files: list[Path], require_peer: RequirePeer
) -> None:
    require_peer("dcmqrscp", "storescu")
    unique = {"STUDY": {}, "SERIES": {"StudyInstanceUID": "1.2.3"}}
    unique["IMAGE"] = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}
    keys = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
    with (
        dcmqrscp(tmp_path, archive_files) as port,
        associate(port, STUDY_FIND, VERIFICATION, called="QR") as assoc,
    ):
        for level, count in (("STUDY", 1), ("SERIES", 1), ("IMAGE", IMAGES)):
            asked = query(**{keys[level]: ""} | unique[level])
            asked.QueryRetrieveLevel = level
            found = list(assoc.send_c_find(asked, STUDY_FIND))
            assert [status.Status for status, _ in found] == [0xFF00] * count + [0x0000]
            assert all(match[keys[level]].value for _, match in found[:-1] if match is not None)
        matches = assoc.send_c_find(asked, STUDY_FIND)
        next(matches)
        matches.close()
        assert assoc.send_c_echo().Status == 0x0000


def test_the_worklist_is_read(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("wlmscpfs")
    asked, step = Dataset(), Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", ""
    asked.PatientName, asked.ScheduledProcedureStepSequence = "", [step]
    with (
        wlmscpfs(tmp_path, [write_worklist_item(tmp_path / "item.wl")]) as port,
        associate(port, WORKLIST_FIND, called="WL") as assoc,
    ):
        (status, item), (last, _) = assoc.send_c_find(asked, WORKLIST_FIND)
    assert (status.Status, last.Status) == (0xFF00, 0x0000)
    assert item.PatientName == "Doe^Jane"
    assert item.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "CT1"


def test_get_brings_the_instances_over_the_same_association(
    tmp_path: Path, archive_files: list[Path], require_peer: RequirePeer
) -> None:
    require_peer("dcmqrscp", "storescu")
    got: list[str] = []

    def store(event: Any) -> int:
        got.append(str(event.dataset.SOPInstanceUID))
        return 0x0000

    options = {"ext_neg": [build_role(CT, scp_role=True)], "evt_handlers": [(evt.EVT_C_STORE, store)]}
    with (
        dcmqrscp(tmp_path, archive_files) as port,
        associate(port, STUDY_GET, CT, called="QR", **options) as assoc,
    ):
        *_, (last, _) = assoc.send_c_get(query(StudyInstanceUID="1.2.3"), STUDY_GET)
    assert (last.Status, last.NumberOfCompletedSuboperations) == (0x0000, IMAGES)
    assert sorted(got) == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]


def test_move_has_them_sent_to_an_scp_of_ours(
    tmp_path: Path, archive_files: list[Path], require_peer: RequirePeer
) -> None:
    require_peer("dcmqrscp", "storescu")
    got: list[tuple[str, str]] = []

    def store(event: Any) -> int:
        originator = event.request.MoveOriginatorApplicationEntityTitle
        got.append((str(event.request.AffectedSOPInstanceUID), originator.strip()))
        return 0x0000

    with library_scp([CT], [(evt.EVT_C_STORE, store)]) as (_, store_port):
        with (
            dcmqrscp(tmp_path, archive_files, move_port=store_port) as port,
            associate(port, STUDY_MOVE, called="QR") as assoc,
        ):
            *_, (last, _) = assoc.send_c_move(query(StudyInstanceUID="1.2.3"), "STORESCP", STUDY_MOVE)
            *_, (nowhere, _) = assoc.send_c_move(query(StudyInstanceUID="1.2.3"), "NOBODY", STUDY_MOVE)
    assert (last.Status, last.NumberOfCompletedSuboperations) == (0x0000, IMAGES)
    assert sorted(got) == [(f"1.2.3.{number}", "FINDSCU") for number in range(1, IMAGES + 1)]
    assert nowhere.Status == 0xA801


def test_a_film_is_printed_by_the_n_services(tmp_path: Path, require_peer: RequirePeer) -> None:
    require_peer("dcmprscp")
    from router.sop_class import (
        BasicFilmBox,
        BasicFilmSession,
        BasicGrayscaleImageBox,
        Printer,
        PrinterInstance,
    )
    from router.sop_class import BasicGrayscalePrintManagementMeta as Meta

    session, of_session, film, image, pixels = (Dataset() for _ in range(5))
    session.NumberOfCopies = "1"
    of_session.ReferencedSOPClassUID, of_session.ReferencedSOPInstanceUID = BasicFilmSession, "1.2.3.4"
    film.ImageDisplayFormat, film.FilmSizeID = "STANDARD\\1,1", "8INX10IN"
    film.ReferencedFilmSessionSequence = [of_session]
    pixels.SamplesPerPixel, pixels.PhotometricInterpretation, pixels.PixelAspectRatio = (
        1,
        "MONOCHROME2",
        [1, 1],
    )
    pixels.Rows, pixels.Columns, pixels.PixelRepresentation = 8, 8, 0
    pixels.BitsAllocated, pixels.BitsStored, pixels.HighBit = 8, 8, 7
    pixels.add_new(0x7FE00010, "OW", bytes(64))
    image.ImageBoxPosition, image.BasicGrayscaleImageSequence = 1, [pixels]

    with dcmprscp(tmp_path) as port, associate(port, Meta, called="PRINTER") as assoc:
        status, printer = assoc.send_n_get([0x21100010], Printer, PrinterInstance, meta_uid=Meta)
        assert (status.Status, printer.PrinterStatus) == (0x0000, "NORMAL")
        status, made = assoc.send_n_create(session, BasicFilmSession, "1.2.3.4", meta_uid=Meta)
        assert (status.Status, made.NumberOfCopies) == (0x0000, 1)
        status, made = assoc.send_n_create(film, BasicFilmBox, "1.2.3.5", meta_uid=Meta)
        assert status.Status == 0x0000
        box = made.ReferencedImageBoxSequence[0].ReferencedSOPInstanceUID
        status, made = assoc.send_n_set(image, BasicGrayscaleImageBox, box, meta_uid=Meta)
        assert (status.Status, made.ImageBoxPosition) == (0x0000, 1)
        status, _ = assoc.send_n_action(None, 1, BasicFilmBox, "1.2.3.5", meta_uid=Meta)
        assert status.Status == 0x0000
        assert assoc.send_n_delete(BasicFilmSession, "1.2.3.4", meta_uid=Meta).Status == 0x0000
        assert assoc.send_n_delete(BasicFilmSession, "1.2.3.4", meta_uid=Meta).Status == 0x0112
    assert list((tmp_path / "database").glob("SP_*.dcm"))
