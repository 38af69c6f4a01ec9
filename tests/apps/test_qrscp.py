"""`dicom-router qrscp`, as its user runs it, with every kind of SCU."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from benchmarks.peers.process import HOST, PeerProcess, free_port
from router import AE, build_role, evt
from router.apps.qr_settings import SettingsError, read_settings
from tests.support.applications import ENVIRONMENT, app_process, refusal_of, run_app, run_dcmtk
from tests.support.datasets import CT, JPEG, STUDY_FIND, STUDY_GET, VERIFICATION, instance, query, write
from tests.support.dcmtk import dcmtk_storescp, file_identity

PATIENT_KEYS = ("-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=P1")
IMAGES = 3


def studied(number: int, **more: Any) -> Any:
    return instance(
        number, StudyInstanceUID="1.9.1", SeriesInstanceUID="1.9.1.1", Modality="CT",
        InstanceNumber=number, **{"PatientID": "P1", **more},
    )  # fmt: skip


@contextmanager
def qrscp(directory: Path, *options: object, move_port: int = 1) -> Iterator[PeerProcess]:
    directory.mkdir(parents=True, exist_ok=True)
    settings = directory / "settings.ini"
    settings.write_text(f"[DEFAULT]\nae_title: MINE\n[STORESCP]\naddress: {HOST}\nport: {move_port}\n")
    with app_process(directory, "qrscp", "-c", settings, "-v", *options, "--port") as peer:
        yield peer


class Stocked:
    """A running qrscp that has three images. store_port: where its move destination STORESCP listens."""

    def __init__(self, peer: PeerProcess, images: list[Path], store_port: int) -> None:
        self.port, self.peer, self.images, self.store_port = peer.port, peer, images, store_port


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    directory, store_port = tmp_path_factory.mktemp("qrscp"), free_port()
    images = [write(studied(number), directory / f"{number}.dcm") for number in range(1, IMAGES + 1)]
    with qrscp(directory, move_port=store_port) as peer:
        assert run_app("storescu", HOST, peer.port, *images, cwd=directory).status == 0
        yield Stocked(peer, images, store_port)


def test_images_are_kept_beside_the_settings_as_they_came(stocked: Stocked) -> None:
    kept = stocked.peer.directory / "instances"
    assert {path.name for path in kept.iterdir()} == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}
    assert file_identity(kept / "1.2.3.2") == file_identity(stocked.images[1])
    assert (stocked.peer.directory / "instances.sqlite").is_file()


def test_echo_is_answered(stocked: Stocked, tmp_path: Path) -> None:
    assert run_app("echoscu", HOST, stocked.port, cwd=tmp_path).status == 0
    assert "I: Received C-ECHO request from 127.0.0.1" in stocked.peer.log()


@pytest.mark.parametrize("package", ["router", "pynetdicom"])
def test_scus_find_what_was_stored(package: str, stocked: Stocked, tmp_path: Path) -> None:
    done = run_app("findscu", HOST, stocked.port, *PATIENT_KEYS, "-w", cwd=tmp_path, package=package)
    assert done.status == 0
    assert "Find SCP Result: 0x0000 (Success)" in done.err
    match = dcmread(tmp_path / "rsp000001.dcm")
    assert (match.PatientID, match.RetrieveAETitle) == ("P1", "MINE")
    assert not (tmp_path / "rsp000002.dcm").exists()


@pytest.mark.parametrize("package", ["router", "pynetdicom"])
def test_scus_get_what_was_stored(package: str, stocked: Stocked, tmp_path: Path) -> None:
    options = (*PATIENT_KEYS, "-od", tmp_path / "got")
    done = run_app("getscu", HOST, stocked.port, *options, cwd=tmp_path, package=package)
    assert done.status == 0, done.err
    assert len(list((tmp_path / "got").iterdir())) == IMAGES


def test_scus_move_what_was_stored(stocked: Stocked, tmp_path: Path) -> None:
    options = (*PATIENT_KEYS, "-od", "got", "--store", "--store-port", stocked.store_port)
    done = run_app("movescu", HOST, stocked.port, *options, cwd=tmp_path)
    assert done.status == 0, done.err
    assert len(list((tmp_path / "got").iterdir())) == IMAGES
    done = run_app("movescu", HOST, stocked.port, *PATIENT_KEYS, "-aem", "NOBODY", cwd=tmp_path)
    assert done.status == 1
    assert "0xA801" in done.err


def test_dcmtk_finds_and_gets(stocked: Stocked, tmp_path: Path, require_peer: Any) -> None:
    require_peer("findscu", "getscu")
    keys = ("-k", "QueryRetrieveLevel=SERIES", "-k", "StudyInstanceUID=1.9.1", "-k", "SeriesInstanceUID")
    done = run_dcmtk("findscu", stocked.port, "-S", *keys, cwd=tmp_path)
    assert "[1.9.1.1" in done.out + done.err
    (tmp_path / "got").mkdir()
    options = ("-S", "-od", "got", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.9.1")
    done = run_dcmtk("getscu", stocked.port, *options, cwd=tmp_path)
    assert done.status == 0, done.err
    assert len(list((tmp_path / "got").iterdir())) == IMAGES


def test_dcmtk_stores_moves_and_receives(tmp_path: Path, require_peer: Any) -> None:
    require_peer("movescu", "storescu", "storescp")
    image = write(studied(1), tmp_path / "image.dcm")
    with (
        dcmtk_storescp(tmp_path, "destination") as destination,
        qrscp(tmp_path / "qr", move_port=destination.port) as peer,
    ):
        assert run_dcmtk("storescu", peer.port, image, cwd=tmp_path).status == 0
        options = ("-S", "-aem", "STORESCP", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.9.1")
        done = run_dcmtk("movescu", peer.port, *options, cwd=tmp_path)
        assert done.status == 0, done.err
        (received,) = destination.files()
    assert dcmread(received).PatientID == "P1"


def test_an_identifier_that_is_not_allowed_is_a900_with_the_reason(stocked: Stocked) -> None:
    ae = AE()
    ae.add_requested_context(STUDY_FIND)
    ae.add_requested_context(STUDY_GET)
    with ae.associate(HOST, stocked.port) as assoc:
        bad = query(QueryRetrieveLevel="IMAGE", SOPInstanceUID="1.2.3.1")
        (find,) = [status for status, _ in assoc.send_c_find(bad, STUDY_FIND)]
        (get,) = [status for status, _ in assoc.send_c_get(query(), STUDY_GET)]
    assert (find.Status, get.Status) == (0xA900, 0xA900)
    assert find.ErrorComment == "StudyInstanceUID must have one value at this level"
    assert get.ErrorComment == "StudyInstanceUID must have a value"


def test_relational_queries_are_granted_to_who_asks(stocked: Stocked, tmp_path: Path) -> None:
    keys = ("-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", "SOPInstanceUID=", "-k", "InstanceNumber=2")
    assert run_app("findscu", HOST, stocked.port, *keys, cwd=tmp_path).status == 1
    done = run_app("findscu", HOST, stocked.port, *keys, "--relational-query", "-w", cwd=tmp_path)
    assert done.status == 0, done.err
    assert dcmread(tmp_path / "rsp000001.dcm").SOPInstanceUID == "1.2.3.2"


@pytest.mark.parametrize("model", ["-W", "-U"])
def test_worklists_are_empty(model: str, stocked: Stocked, tmp_path: Path) -> None:
    done = run_app("findscu", HOST, stocked.port, model, "-k", "PatientName=", cwd=tmp_path)
    assert done.status == 0
    assert "Pending" not in done.err


def test_compressed_instances_are_kept_and_given_back(tmp_path: Path) -> None:
    got = []

    def store(event: Any) -> int:
        got.append((str(event.context.transfer_syntax), event.dataset.PatientID))
        return 0x0000

    ae = AE()
    ae.add_requested_context(STUDY_GET)
    ae.add_requested_context(CT, JPEG)
    with qrscp(tmp_path) as peer:
        sent = studied(1, transfer_syntax=JPEG)
        items = [build_role(CT, scu_role=True, scp_role=True)]
        handlers = [(evt.EVT_C_STORE, store)]
        with ae.associate(HOST, peer.port, ext_neg=items, evt_handlers=handlers) as assoc:
            assert assoc.send_c_store(sent).Status == 0x0000
            *_, (last, _) = assoc.send_c_get(query(StudyInstanceUID="1.9.1"), STUDY_GET)
    assert (last.Status, got) == (0x0000, [(JPEG, "P1")])


def test_a_file_that_has_gone_is_a_failed_sub_operation(tmp_path: Path) -> None:
    images = [write(studied(number), tmp_path / f"{number}.dcm") for number in (1, 2)]
    with qrscp(tmp_path / "qr") as peer:
        assert run_app("storescu", HOST, peer.port, *images, cwd=tmp_path).status == 0
        (tmp_path / "qr" / "instances" / "1.2.3.1").unlink()
        done = run_app("getscu", HOST, peer.port, *PATIENT_KEYS, "-od", tmp_path / "got", cwd=tmp_path)
        assert "E: Cannot read instance 1.2.3.1" in peer.log()
    assert done.status == 1
    assert "1 sub-operation failed" in done.err
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["CT.1.2.3.2"]


def test_what_was_stored_is_there_after_a_restart_until_it_is_cleaned(tmp_path: Path) -> None:
    image = write(studied(1), tmp_path / "image.dcm")
    places = ("--database-location", tmp_path / "db", "--instance-location", tmp_path / "kept")
    with qrscp(tmp_path / "a", *places) as peer:
        assert run_app("storescu", HOST, peer.port, image, cwd=tmp_path).status == 0
    with qrscp(tmp_path / "b", *places) as peer:
        keys = (*PATIENT_KEYS, "-od", "got")
        assert run_app("getscu", HOST, peer.port, *keys, cwd=tmp_path).status == 0
    assert len(list((tmp_path / "got").iterdir())) == 1
    for answer, status, left in (("no", 1, 1), ("yes", 0, 0)):
        assert clean(tmp_path, answer, *places) == status
        assert len(list((tmp_path / "kept").iterdir())) == left


def clean(directory: Path, answer: str, *options: object) -> int:
    command = [sys.executable, "-m", "router", "qrscp", "--clean", *map(str, options)]
    return subprocess.run(
        command, cwd=directory, env=ENVIRONMENT, input=f"{answer}\n", text=True, timeout=60,
        capture_output=True, check=False,
    ).returncode  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("[DEFAULT]\nport: http\n", "[DEFAULT] port: 'http' is not a port number"),
        ("[DEFAULT]\nae_title: \n", "[DEFAULT] ae_title"),
        ("[DEFAULT]\nlog_identifier: perhaps\n", "neither True nor False"),
        ("[PACS]\naddress: localhost\n", "[PACS]: a move destination needs address and port"),
        ("[PACS]\nport: 104\n", "[PACS]: a move destination needs address and port"),
        (f"[{'A' * 17}]\naddress: h\nport: 1\n", "is not an AE title"),
        ("port: 1\n", "settings.ini"),
        (None, "No such file or directory"),
    ],
)
def test_wrong_settings_are_said_with_their_place(settings: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    if settings is not None:
        path.write_text(settings)
    with pytest.raises(SettingsError) as caught:
        read_settings(options(config=str(path)))
    assert said in str(caught.value)


def test_wrong_settings_exit_with_2(tmp_path: Path) -> None:
    done = run_app("qrscp", "-c", "no-such-file.ini", cwd=tmp_path)
    assert done.status == 2
    assert done.err == "E: Wrong settings: no-such-file.ini: No such file or directory\n"


def options(**given: Any) -> argparse.Namespace:
    names = (
        "ae_title",
        "port",
        "bind_address",
        "max_pdu",
        "acse_timeout",
        "dimse_timeout",
        "network_timeout",
    )
    names += ("instance_location", "database_location", "config")
    return argparse.Namespace(**{**dict.fromkeys(names), **given})


def test_settings_are_the_defaults_the_file_and_the_options(tmp_path: Path) -> None:
    found = read_settings(options())
    assert (found.ae_title, found.port, found.max_pdu, found.bind_address) == ("QRSCP", 11112, 16382, "")
    assert (found.acse_timeout, found.dimse_timeout, found.network_timeout) == (30, 30, 30)
    assert (found.instance_location, found.database_location) == (Path("instances"), Path("instances.sqlite"))
    assert (found.log_identifier, found.destinations) == (True, {"STORESCP": ("127.0.0.1", 11113)})
    path = tmp_path / "settings.ini"
    path.write_text("[DEFAULT]\nport: 104\nlog_identifier: no\n[PACS]\naddress: pacs\nport: 105\n")
    found = read_settings(options(config=str(path), ae_title="OTHER"))
    assert (found.ae_title, found.port, found.log_identifier) == ("OTHER", 104, False)
    assert found.destinations == {"PACS": ("pacs", 105)}
    assert found.instance_location == tmp_path / "instances"
    found = read_settings(options(config=str(path), port=1, instance_location="here"))
    assert (found.port, found.instance_location) == (1, Path("here"))


def test_a_database_that_cannot_be_opened_is_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("this is not a database, nor long enough to be taken for one" * 20)
    done = run_app("qrscp", "--port", 0, "--database-location", "db", cwd=tmp_path)
    assert done.status == 1
    assert "E: Cannot open the database db" in done.err


def test_without_sqlalchemy_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['sqlalchemy'] = None; from router.__main__ import main;"
    program += "sys.exit(main(['qrscp', '--port', '0']))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "pip install dicom-router[apps]" in done.stderr


def test_many_associations_at_once_are_served_from_the_start(tmp_path: Path) -> None:
    ae = AE()
    ae.add_requested_context(VERIFICATION)
    with qrscp(tmp_path) as peer:
        opened = [ae.associate(HOST, peer.port) for _ in range(20)]
        assert all(assoc.send_c_echo().Status == 0x0000 for assoc in opened)
        for assoc in opened:
            assoc.release()


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusal_of(capsys)
    assert "port number" in refuse("qrscp", "--port", 65536)
    assert "not allowed with" in refuse("qrscp", "-q", "-v")
