"""The judges themselves: ledger, sink and templates must see what is lost, changed, invented or repeated."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from router.bench import wire
from router.bench.controls import SinkControl
from router.bench.image import StreamImage
from router.bench.instances import UID_BYTES, instance_uid, number_of, template
from router.bench.tally import missing_of
from tests.support.corpus import Multiframe, corpus, dataset_of_file, write_synthetic
from tests.support.ledger import Received, Sent, compare

REPOSITORY = Path(__file__).parents[2]


def sent(uid: str, digest: str = "d", status: int | None = 0) -> Sent:
    return Sent(uid, digest, status, 0)


def received(uid: str, digest: str = "d", status: int = 0) -> Received:
    return Received(uid, digest, status, 1, "class", "syntax", 0, 1)


def test_the_ledger_sees_what_is_lost_altered_extra_and_repeated() -> None:
    result = compare(
        [sent("kept"), sent("lost"), sent("altered"), sent("twice")],
        [
            received("kept"),
            received("altered", "other"),
            received("extra"),
            received("twice"),
            received("twice"),
        ],
    )
    assert (result.lost, result.altered) == (["altered", "lost"], ["altered"])
    assert (result.extra, result.repeated) == (["extra"], ["twice"])
    assert not result.kept_the_promise


def test_what_was_not_acknowledged_need_not_arrive_but_may() -> None:
    attempts = [sent("refused", status=0xA700), sent("unanswered", status=None)]
    assert compare(attempts, []).kept_the_promise
    assert compare(attempts, [received("unanswered")]).kept_the_promise
    assert not compare(attempts, [received("unanswered", "half")]).kept_the_promise


def test_an_instance_that_the_sink_refused_has_not_arrived() -> None:
    assert compare([sent("uid")], [received("uid", status=0xA900)]).lost == ["uid"]


def test_both_versions_of_a_uid_must_arrive() -> None:
    attempts = [sent("uid", "first"), sent("uid", "second")]
    assert compare(attempts, [received("uid", "second")]).lost == ["uid"]
    both = compare(attempts, [received("uid", "first"), received("uid", "second")])
    assert both.kept_the_promise
    assert both.repeated == []


@pytest.mark.parametrize("kind", ["ct", "mr", "small", "tiny"])
def test_a_template_knows_its_own_octets_at_any_split(kind: str) -> None:
    model = template(kind)
    uid = instance_uid(3, 4)
    dataset = model.dataset_of(uid)
    assert number_of(uid) == 4
    assert len(uid) == UID_BYTES
    for start, end in ((0, 50), (0, 100), (95, 120), (200, len(dataset)), (0, len(dataset))):
        assert model.holds(memoryview(dataset)[start:end], start, uid.encode())
        damaged = bytearray(dataset)
        damaged[end - 1] ^= 1
        assert not model.holds(memoryview(damaged)[start:end], start, uid.encode())


@pytest.mark.parametrize("maximum_length", [0, 1024, 16382, 131072])
def test_an_image_is_the_stream_of_the_instance_patched_into_it(maximum_length: int) -> None:
    model = template("mr")
    image = StreamImage(model, 1, run=5, maximum_length=maximum_length)
    for number in (1, 77):
        stream = b"".join(image.patch(number, message_id=9))
        command, dataset = split(stream)
        fields = wire.decode_command(command)
        assert wire.uid_text(fields[wire.AFFECTED_SOP_INSTANCE_UID]) == instance_uid(5, number)
        assert wire.uint(fields[wire.MESSAGE_ID]) == 9
        assert dataset == model.dataset_of(instance_uid(5, number))


def split(stream: bytes) -> tuple[bytes, bytes]:
    """Return command set and dataset of a stream of P-DATA-TFs of one PDV each."""
    parts = {0: b"", 1: b""}
    while stream:
        length = int.from_bytes(stream[2:6], "big")
        parts[stream[11] & wire.COMMAND_FRAGMENT] += stream[12 : 6 + length]
        stream = stream[6 + length :]
    return parts[1], parts[0]


@pytest.mark.parametrize(
    ("damage", "corrupt"),
    [(lambda data: data, 0), (lambda data: data[:-1] + b"\xff", 1), (lambda data: data[:-2], 1)],
    ids=["whole", "changed", "short"],
)
def test_the_sink_counts_a_changed_instance_as_corrupt(
    tmp_path: Path, damage: Callable[[bytes], bytes], corrupt: int
) -> None:
    model, uid = template("tiny"), instance_uid(1, 0)
    with SinkControl.start(["--kind", "tiny"], tmp_path) as sink:
        sink.ask("verify")
        with socket.create_connection(("127.0.0.1", sink.port), timeout=10) as sock:
            sock.sendall(wire.associate_rq("A", "B", [(1, model.sop_class, [model.transfer_syntax])]))
            assert sock.recv(4096)[0] == wire.ASSOCIATE_AC
            dataset = damage(model.dataset_of(uid))
            head = wire.pdata_head(1, wire.LAST_FRAGMENT, len(dataset))
            sock.sendall(wire.command_pdu(1, wire.c_store_rq(model.sop_class, uid, 1)) + head + dataset)
            assert sock.recv(4096)[0] == wire.P_DATA_TF
        report = sink.ask("uids")
        assert (report["instances"], report["corrupt"], report["uids"]) == (1, corrupt, [uid])


def test_missing_instances_are_counted() -> None:
    assert missing_of([10**10, 10**10 + 2], 4) == 2


def test_the_corpus_is_read_octet_by_octet() -> None:
    assert len(corpus()) > 150
    for instance in corpus():
        data = instance.path.read_bytes()
        assert data[instance.dataset_offset :] == instance.dataset[: len(data) - instance.dataset_offset]
        assert len(instance.dataset) % 2 == 0
    assert {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.90"} <= {
        instance.transfer_syntax for instance in corpus()
    }


def test_synthetic_files_and_objects_are_what_they_say(tmp_path: Path) -> None:
    instance = write_synthetic(tmp_path / "one.dcm", run=1, number=2, sop_class="2.25.5")
    assert (instance.sop_class, instance.sop_instance) == ("2.25.5", instance_uid(1, 2))
    assert dataset_of_file(instance.path.read_bytes()) == instance.dataset
    large = Multiframe(instance_uid(1, 1), (3 << 20) + 10)
    assert sum(map(len, large.blocks())) == large.dataset_bytes


def test_the_run_script_names_its_verbs() -> None:
    done = subprocess.run(
        [REPOSITORY / ".ci" / "run", "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "lint|types|tests|fuzz|bench|bench-compare" in done.stderr
