"""Question: what does the compiled codec gain over its pure-Python twin, on the calls of one C-STORE?

Unit: time of one call, or of one message where the name says so; the twin stands beside it in the same group,
and the compiled one stays only while it is at least twice as fast. Method: pytest-benchmark, all in one
process, data in cache. What would make it lie: in the router payload comes cold from the kernel, so framing's
rate is an upper bound; the ring's two ends share one core here, so no cache line travels.

Run: python -m pytest benchmarks/micro/test_codec.py --benchmark-group-by=group \\
       --benchmark-columns=median,iqr,ops
"""

from __future__ import annotations

import importlib
import struct
from types import SimpleNamespace
from typing import Any

import pytest

STORE_RQ = {
    0x0002: "1.2.840.10008.5.1.4.1.1.2",
    0x0100: 0x0001,
    0x0110: 7,
    0x0700: 0,
    0x0800: 0x0001,
    0x1000: "1.2.826.0.1.3680043.8.498.10000000000000000000000000000000001",
}
CT_BYTES = 512 * 512 * 2
SMALL_BYTES = 2048
WANTED = (0x00080005, 0x00080016, 0x00080018, 0x00080060, 0x0020000D, 0x0020000E)


@pytest.fixture(params=["_codec", "router.wire.reference"], ids=["compiled", "twin"])
def codec(request: pytest.FixtureRequest) -> SimpleNamespace:
    modules = ("command", "dataset", "framing", "pdata", "ring")
    return SimpleNamespace(**{name: importlib.import_module(f"{request.param}.{name}") for name in modules})


def instance(pixel_bytes: int) -> bytes:
    """A CT-like dataset, Explicit VR Little Endian: 40 elements before the study's UID, then pixel data."""
    octets = b""
    for tag, vr, value in (
        (0x00080005, b"CS", b"ISO_IR 100"),
        (0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        (0x00080018, b"UI", b"1.2.826.0.1.3680043.8.498.1\0"),
        (0x00080060, b"CS", b"CT"),
        *((0x00100000 + 16 * number, b"LO", b"some text!") for number in range(36)),
        (0x0020000D, b"UI", b"1.2.826.0.1.3680043.8.498.2\0"),
        (0x0020000E, b"UI", b"1.2.826.0.1.3680043.8.498.3\0"),
    ):
        octets += struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return octets + struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OW", pixel_bytes) + bytes(pixel_bytes)


@pytest.mark.parametrize(
    ("dataset_bytes", "pdu_bytes"), [(CT_BYTES, 16384), (CT_BYTES, 262144), (SMALL_BYTES, 16384)]
)
def test_read_one_message(benchmark: Any, codec: SimpleNamespace, dataset_bytes: int, pdu_bytes: int) -> None:
    benchmark.group = f"framing: one message, dataset of {dataset_bytes} in PDUs of {pdu_bytes}"
    framing = codec.framing
    stream = codec.pdata.command_pdus(1, codec.command.encode_command(STORE_RQ), pdu_bytes)
    stream += b"".join(codec.pdata.dataset_pdus(1, [bytes(dataset_bytes)], pdu_bytes))
    sink = bytearray(dataset_bytes)
    reader = framing.PduReader(pdu_bytes)
    reader.set_contexts([1])

    def read() -> int:
        reader.feed(stream, 0, len(stream))
        reader.expect_dataset(True)
        reader.attach(sink)
        return int(reader.feed(stream, reader.consumed, len(stream)))

    assert benchmark(read) == framing.DATASET_END


@pytest.mark.parametrize(
    ("dataset_bytes", "pdu_bytes"), [(CT_BYTES, 16384), (CT_BYTES, 262144), (SMALL_BYTES, 16384)]
)
def test_cut_one_dataset(benchmark: Any, codec: SimpleNamespace, dataset_bytes: int, pdu_bytes: int) -> None:
    benchmark.group = f"pdata: dataset of {dataset_bytes} into PDUs of {pdu_bytes}"
    slots = [memoryview(bytes(min(CT_BYTES // 2, dataset_bytes)))] * max(1, 2 * dataset_bytes // CT_BYTES)
    assert benchmark(codec.pdata.dataset_pdus, 1, slots, pdu_bytes)


def test_cut_one_command(benchmark: Any, codec: SimpleNamespace) -> None:
    benchmark.group = "pdata: one command set"
    assert benchmark(codec.pdata.command_pdus, 1, codec.command.encode_command(STORE_RQ), 16384)


def test_decode_one_command(benchmark: Any, codec: SimpleNamespace) -> None:
    benchmark.group = "command: decode a C-STORE-RQ"
    assert benchmark(codec.command.decode_command, codec.command.encode_command(STORE_RQ)) == STORE_RQ


def test_encode_one_command(benchmark: Any, codec: SimpleNamespace) -> None:
    benchmark.group = "command: encode a C-STORE-RQ"
    assert benchmark(codec.command.encode_command, STORE_RQ)


def test_scan_one_dataset(benchmark: Any, codec: SimpleNamespace) -> None:
    benchmark.group = "dataset: six attributes among 42 elements"
    found, _, done = benchmark(codec.dataset.scan_attributes, instance(CT_BYTES), 0, False, False, WANTED)
    assert (len(found), done) == (len(WANTED), True)


def test_pass_one_record(benchmark: Any, codec: SimpleNamespace) -> None:
    benchmark.group = "ring: push and pop one record of 200 bytes"
    ring = codec.ring.Ring(bytearray(codec.ring.RING_HEADER_BYTES + 65536), True)
    record = bytes(200)

    def pass_one() -> bytes:
        ring.push(record)
        return ring.pop()  # type: ignore[no-any-return]

    assert benchmark(pass_one) == record


def test_pass_many_records(benchmark: Any, codec: SimpleNamespace) -> None:
    benchmark.group = "ring: push 32 records of 200 bytes, pop them at once"
    ring = codec.ring.Ring(bytearray(codec.ring.RING_HEADER_BYTES + 65536), True)
    record = bytes(200)

    def pass_many() -> int:
        for _ in range(32):
            ring.push(record)
        return len(ring.pop_many(64))

    assert benchmark(pass_many) == 32
