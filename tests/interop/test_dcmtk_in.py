"""DCMTK's senders: what they deliver through the router is what they deliver without it.

DCMTK re-encodes what it reads, so the file's own octets are not the measure: the same command is run once
straight into the sink and once through the router, and both must leave the same instances there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.corpus import corpus, write_synthetic
from tests.support.dcmtk import dcmsend, dcmtk_storescu, echoscu
from tests.support.fast_peers import FastSink, fast_sink
from tests.support.router_process import router_process

pytestmark = [pytest.mark.interop, pytest.mark.system]

# storescu's option that proposes a transfer syntax.
PROPOSALS = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
# Not readable by DCMTK, which then ends with an error before or after the others were sent; or misread: where
# the UIDs have VR UN (rtdose_rle), it takes "31", the first octet in hexadecimal, for the SOP class.
UNREADABLE = frozenset(
    {
        "MR_truncated.dcm",
        "rtplan_truncated.dcm",
        "no_meta_group_length.dcm",
        "SC_rgb_jpeg.dcm",
        "rtdose_rle.dcm",
        "rtdose_rle_1frame.dcm",
    }
)


def arrived(sink: FastSink) -> set[tuple[str, str, str]]:
    """Return (SOP instance, transfer syntax, digest) of everything a sink took."""
    return {(record.uid, record.transfer_syntax, record.sha256) for record in sink.taken()}


def assert_same_through_the_router(tmp_path: Path, send: Callable[[int], object]) -> None:
    """Run a sender straight and through the router and compare what the sink holds."""
    with fast_sink(tmp_path, name="straight") as straight:
        send(straight.port)
        expected = arrived(straight)
    with (
        fast_sink(tmp_path, name="routed") as routed,
        router_process(tmp_path, {"SINK": routed.port}) as router,
    ):
        send(router.port)
        routed.wait_for(len({uid for uid, _, _ in expected}))
        router.stop()
        assert expected
        assert arrived(routed) == expected


@pytest.mark.parametrize("transfer_syntax", PROPOSALS)
def test_storescu_sends_each_transfer_syntax(
    tmp_path: Path, require_peer: Callable[..., None], transfer_syntax: str
) -> None:
    require_peer("storescu")
    files = [
        instance.path
        for instance in corpus()
        if instance.transfer_syntax == transfer_syntax
        and instance.complete
        and instance.name not in UNREADABLE
    ]
    options = [PROPOSALS[transfer_syntax], "--required", "--no-halt"]
    assert_same_through_the_router(tmp_path, lambda port: dcmtk_storescu(port, files, options, may_fail=True))


def test_dcmsend_sends_the_whole_corpus(tmp_path: Path, require_peer: Callable[..., None]) -> None:
    require_peer("dcmsend")
    files = [i.path for i in corpus() if i.complete and i.name not in UNREADABLE]
    assert_same_through_the_router(tmp_path, lambda port: dcmsend(port, files, ["--no-halt"], may_fail=True))


def test_storescu_sends_many_over_one_association(tmp_path: Path, require_peer: Callable[..., None]) -> None:
    require_peer("storescu")
    files = [write_synthetic(tmp_path / f"{number}.dcm", run=7, number=number) for number in range(200)]
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}) as router:
        dcmtk_storescu(router.port, [instance.path for instance in files])
        sink.wait_for(200)
        assert {record.uid for record in sink.taken()} == {instance.sop_instance for instance in files}


def test_echoscu_is_answered_whatever_it_is_called(tmp_path: Path, require_peer: Callable[..., None]) -> None:
    require_peer("echoscu")
    with router_process(tmp_path, {}, rules=[]) as router:
        assert "Received Echo Response (Success)" in echoscu(router.port)
        assert "Received Echo Response (Success)" in echoscu(
            router.port, ["-aec", "SOMEBODY", "--repeat", "5"]
        )
