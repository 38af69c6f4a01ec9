"""Datasets that go to files as they arrive: where the program says, whole or not, never held."""

from __future__ import annotations

import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from router.api.dsutils import create_file_meta, encode_file_meta
from router.api.exchange import Exchange
from router.api.file_meta import PREAMBLE, file_head
from router.api.received_files import Incoming
from router.services import c_store
from tests.api.conftest import Pair
from tests.support.datasets import CT, EXPLICIT, STUDY_GET, instance, query, write

LARGE_BYTES = 40 << 20
HELD_MAX_BYTES = 12 << 20
"""What may be held of a large dataset on both sides together: buffers, not the dataset."""


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "1"])
def test_the_beginning_of_a_file_is_what_pydicom_writes(uid: str) -> None:
    meta = create_file_meta(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax=EXPLICIT)
    assert file_head(CT, uid, EXPLICIT) == PREAMBLE + encode_file_meta(meta)


def test_a_directory_gets_a_file_of_its_own_for_each_instance(ours: Pair, tmp_path: Path) -> None:
    seen: list[tuple[Path, str, int]] = []

    def handle(event: Any) -> int:
        seen.append((event.dataset_path, str(event.dataset.PatientID), len(event.encoded_dataset(False))))
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)], receive_to=tmp_path / "here")
    (tmp_path / "here").mkdir()
    assoc = ours.associate(server, [CT])
    sent = [instance(number, pixel_bytes=700_000) for number in (1, 2)]
    assert [assoc.send_c_store(dataset).Status for dataset in sent] == [0, 0]
    assert sorted(path for path, *_ in seen) == sorted((tmp_path / "here").iterdir())
    for dataset, (path, patient, length) in zip(sent, seen, strict=True):
        read = dcmread(path)
        assert (read, read.PatientID) == (dataset, patient)
        assert read.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert length > 700_000


def test_a_function_names_each_file_or_leaves_it_in_memory(pair: Pair, tmp_path: Path) -> None:
    if pair.scp.__name__ == "pynetdicom":
        pytest.skip("our SCP's")
    told: list[tuple[str, str, str]] = []
    found: list[Path | None] = []

    def place(incoming: Incoming) -> Path | None:
        title = incoming.assoc.requestor.ae_title
        told.append((title, incoming.sop_class_uid, incoming.transfer_syntax))
        return tmp_path / "first" if len(told) == 1 else None

    def handle(event: Any) -> int:
        found.append(getattr(event, "dataset_path", None))
        return 0x0000 if event.dataset.PatientID else 0x0110

    server = pair.serve([(CT, EXPLICIT)], [(pair.scp.evt.EVT_C_STORE, handle)], receive_to=place)
    assoc = pair.associate(server, [(CT, EXPLICIT)])
    for number in (1, 2):
        assert assoc.send_c_store(instance(number, EXPLICIT)).Status == 0x0000
    assert told == [("SCU", CT, EXPLICIT)] * 2
    assert found == [tmp_path / "first", None]
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_the_instances_of_a_get_go_there_too(ours: Pair, tmp_path: Path) -> None:
    def handle(event: Any) -> Any:
        yield 1
        yield 0xFF00, instance(7)

    paths: list[Path] = []

    def keep(event: Any) -> int:
        paths.append(event.dataset_path.replace(tmp_path / "kept.dcm"))
        return 0x0000

    evt = ours.scp.evt
    server = ours.serve([STUDY_GET, (CT, None, True, True)], [(evt.EVT_C_GET, handle)])
    ae = ours.scu.AE()
    ae.receive_to = str(tmp_path)
    items = [ours.scu.build_role(CT, scp_role=True)]
    assoc = ours.associate(
        server, [STUDY_GET, CT], ae=ae, ext_neg=items, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    *_, (status, _) = assoc.send_c_get(query(), STUDY_GET)
    assert status.Status == 0x0000
    assert dcmread(tmp_path / "kept.dcm").PatientID == "P7"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.dcm"]


def test_a_handler_that_raises_or_is_missing_leaves_no_file(ours: Pair, tmp_path: Path) -> None:
    def handle(event: Any) -> int:
        raise RuntimeError("no")

    server = ours.serve([CT], receive_to=tmp_path)
    assoc = ours.associate(server, [CT])
    assert assoc.send_c_store(instance()).Status == 0xC211
    server.bind(ours.scp.evt.EVT_C_STORE, handle)
    assert assoc.send_c_store(instance()).Status == 0xC211
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_answered_and_the_association_goes_on(ours: Pair, tmp_path: Path) -> None:
    places: list[Any] = [tmp_path / "missing" / "file", RuntimeError("no"), tmp_path / "file"]

    def place(incoming: Incoming) -> Path:
        found = places.pop(0)
        if isinstance(found, Exception):
            raise found
        return Path(found)

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, lambda event: 0x0000)], receive_to=place)
    assoc = ours.associate(server, [CT])
    answers = [assoc.send_c_store(instance(pixel_bytes=900_000)) for _ in range(3)]
    assert [answer.Status for answer in answers] == [0xA700, 0xC211, 0x0000]
    assert answers[0].ErrorComment == "no file for the dataset"


class FullDisk:
    """A file that takes its beginning, and no more."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.close = file.close

    def write(self, data: bytes) -> int:
        if len(data) > 10_000:
            raise OSError(28, os.strerror(28))
        return int(self._file.write(data))


def test_a_full_disk_is_answered_a700_and_leaves_nothing(
    ours: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def open_full(path: Path, mode: str = "r", **more: Any) -> Any:
        return FullDisk(real(path, mode, **more)) if mode == "xb" else real(path, mode, **more)

    monkeypatch.setattr(Path, "open", open_full)
    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, lambda event: 0x0000)], receive_to=tmp_path)
    assoc = ours.associate(server, [CT])
    assert assoc.send_c_store(instance(pixel_bytes=900_000)).Status == 0xA700
    assert assoc.is_established
    assert list(tmp_path.iterdir()) == []


def test_an_association_that_breaks_leaves_no_file(ours: Pair, tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def pieces() -> Any:
        yield from [bytes(1 << 20)] * 3  # output is taken by the MiB: not all of it waits for the rest
        begun.wait(10)
        raise OSError("the medium is gone")

    def place(incoming: Incoming) -> Path:
        begun.set()
        return tmp_path / "file"

    evt = ours.scp.evt
    handlers = [(evt.EVT_C_STORE, lambda event: 0x0000), (evt.EVT_CONN_CLOSE, lambda event: ended.set())]
    server = ours.serve([CT], handlers, receive_to=place)
    assoc = ours.associate(server, [CT])
    broken = c_store.Instance(CT, "1.2.3", pieces())
    context_id = assoc.accepted_contexts[0].context_id

    def send(core: Any, number: int) -> Any:
        return c_store.request(core, context_id, number, broken, 30)

    assert assoc._perform(Exchange(1, send, lambda response: response)) is None
    assert ended.wait(30)
    assert begun.is_set()
    assert list(tmp_path.iterdir()) == []


def test_a_large_dataset_is_never_held_on_either_side(ours: Pair, tmp_path: Path) -> None:
    path = write(instance(1, EXPLICIT, pixel_bytes=LARGE_BYTES), tmp_path / "large.dcm")

    def handle(event: Any) -> int:
        size = event.dataset_path.stat().st_size
        event.dataset_path.unlink()
        return 0x0000 if size > LARGE_BYTES else 0x0110

    (tmp_path / "here").mkdir()
    server = ours.serve([(CT, EXPLICIT)], [(ours.scp.evt.EVT_C_STORE, handle)], receive_to=tmp_path / "here")
    assoc = ours.associate(server, [(CT, EXPLICIT)])
    assert assoc.send_c_store(write(instance(2, EXPLICIT), tmp_path / "small.dcm")).Status == 0x0110
    tracemalloc.start()
    try:
        assert assoc.send_c_store(path).Status == 0x0000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < HELD_MAX_BYTES


def test_a_place_is_a_path_a_function_or_none(ours: Pair) -> None:
    ae = ours.scp.AE()
    assert ae.receive_to is None
    with pytest.raises(TypeError, match="receive_to"):
        ae.receive_to = 1
    ae.receive_to = "somewhere"
    assert ae.receive_to == "somewhere"
