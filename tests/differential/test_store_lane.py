"""The store lane and the general way: same octets in, same responses, same tickets, same slots afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_DATA_SET_TYPE,
    MESSAGE_ID,
    MOVE_ORIGINATOR_AE_TITLE,
    MOVE_ORIGINATOR_MESSAGE_ID,
    PRIORITY,
)
from router.standard.uids import CT_IMAGE_STORAGE, MR_IMAGE_STORAGE, VERIFICATION
from router.wire.codec import CODEC_NAME
from tests.support.handoff import SLOT
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RQ,
    STORE_CONTEXT,
    abort_pdu,
    command,
    echo_rq,
    pdata,
    pdv,
    store_rq,
)
from tests.support.store_receiver import INSTANCE_MAX, SPILL, Play, message, usual

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")

SIZES = (
    0, 1, 2, 100, SLOT - 1, SLOT, SLOT + 1, 2 * SLOT, 3 * SLOT - 1, 3 * SLOT, 3 * SLOT + 1,
    SPILL - 1, SPILL, SPILL + 1, 5 * SLOT, INSTANCE_MAX - 1, INSTANCE_MAX, INSTANCE_MAX + 1, 9 * SLOT,
)  # fmt: skip

UIDS = (
    "1.2.3", "1.2.4", "1", "", "1.", ".1", "1..2", "1.2a", "01.2", "1.2 ", "1.2\0", "1.2\0\0", " 1.2",
    "1.2\n", "9" * 64, "9" * 65, "1.2\\1.3",
)  # fmt: skip

CHANGES: tuple[dict[int, Any], ...] = (
    {},
    {PRIORITY: 1},
    {PRIORITY: 2},
    {PRIORITY: (0, 0)},
    {PRIORITY: None},
    {MOVE_ORIGINATOR_AE_TITLE: "MOVER", MOVE_ORIGINATOR_MESSAGE_ID: 7},
    {AFFECTED_SOP_CLASS_UID: MR_IMAGE_STORAGE},
    {AFFECTED_SOP_CLASS_UID: VERIFICATION},
    {AFFECTED_SOP_CLASS_UID: CT_IMAGE_STORAGE + "\0\0"},
    {AFFECTED_SOP_CLASS_UID: None},
    {AFFECTED_SOP_INSTANCE_UID: None},
    {COMMAND_DATA_SET_TYPE: 0x0000},
    {COMMAND_DATA_SET_TYPE: 0xFEFE},
    {0x00005110: b"ab"},
    {0x00000003: "1.2"},
    {MESSAGE_ID: 0},
    {MESSAGE_ID: 65535},
    {MESSAGE_ID: (1, 2)},
)
stores = st.builds(
    lambda message_id, uid, change, size, pieces, fragment, per_pdu: message(
        {tag: value for tag, value in {**store_rq(message_id, uid), **change}.items() if value is not None},
        bytes([message_id]) * size,
        pieces,
        fragment,
        per_pdu,
    ),
    st.integers(1, 4),
    st.sampled_from(UIDS[:3]) | st.sampled_from(UIDS),
    st.just({}) | st.sampled_from(CHANGES),
    st.sampled_from((100, SLOT, SLOT + 1)) | st.sampled_from(SIZES),
    st.sampled_from((1, 1, 2, 5)),
    st.sampled_from((2, 128, 1000, 4000, 16000)).map(lambda size: max(size, 64)),
    st.sampled_from((1, 1, 2, 3)),
)
echoes = st.integers(1, 5).map(lambda number: command(ECHO_CONTEXT, echo_rq(number)))
octets = st.lists(stores | stores | echoes, min_size=1, max_size=3).map(b"".join)
splits = st.sampled_from((1 << 20, 1 << 20, 1000, 77, 7))
feeds = st.tuples(st.just("feed"), octets, splits)
works = st.tuples(
    st.just("work"),
    st.sampled_from((0, 0, 0, 0xA700, 0xA900, 0xC000, 0xB000)),
    st.booleans(),
    st.integers(0, 3),
)
ends = st.sampled_from(
    [
        [],
        [("feed", RELEASE_RQ, 1 << 20)],
        [("feed", abort_pdu(0, 0), 1 << 20)],
        [("close",)],
        [("feed", usual(9, size=3 * SLOT)[:-5000], 1 << 20), ("close",)],
        [("feed", usual(9, size=3 * SLOT)[:-5000], 1 << 20), ("feed", abort_pdu(0, 0), 7)],
        [("feed", usual(9, size=3 * SLOT)[:-4012] + RELEASE_RQ, 1 << 20)],
        [("feed", usual(9, size=2 * SLOT)[:-1000] + command(STORE_CONTEXT, store_rq()), 1 << 20)],
        [("feed", usual(9)[:-112] + pdata(pdv(5, 2, b"x")), 1 << 20)],
        [("feed", b"\x09\0\0\0\0\0", 1 << 20)],
    ]
)
plays = st.builds(
    lambda window, steps, end: Play(window, [*steps, *end]),
    st.integers(1, 5),
    st.lists(feeds | feeds | works, min_size=1, max_size=6),
    ends,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(plays)
def test_whatever_comes_both_ways_come_to_the_same(play: Play) -> None:
    play.check()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", [1 << 20, 997])
def test_every_size_comes_to_the_same(size: int, split: int) -> None:
    taken = Play(1, [("feed", usual(1, size=size), split), ("work",)]).check()
    assert taken == int(0 < size <= 3 * SLOT or size == SPILL - 1 or size == SPILL) or size > 3 * SLOT


@pytest.mark.parametrize("uid", UIDS)
def test_every_uid_comes_to_the_same(uid: str) -> None:
    Play(1, [("feed", usual(1, uid), 1 << 20), ("work",)]).check()


@pytest.mark.parametrize("number", range(len(CHANGES)))
@pytest.mark.parametrize("pieces", [1, 3])
def test_every_command_set_comes_to_the_same(number: int, pieces: int) -> None:
    fields = {**store_rq(), **CHANGES[number]}
    fields = {tag: value for tag, value in fields.items() if value is not None}
    octets = message(fields, b"data", pieces) + usual(2)
    Play(2, [("feed", octets, 1 << 20), ("work",)]).check()


def test_the_usual_request_takes_the_lane_and_octet_by_octet_too() -> None:
    for split in (1 << 20, 1):
        assert Play(1, [("feed", usual(1), split), ("work",), ("feed", usual(1), split)]).check() == 2


def test_pipelining_beyond_the_window_and_duplicate_message_ids_come_to_the_same() -> None:
    many = b"".join(usual(number, f"1.2.{number}") for number in range(1, 7))
    assert Play(4, [("feed", many, 1 << 20), ("work", 0, True, 1), ("work",)]).check() >= 4
    twice = usual(1) + usual(1, "1.2.9") + usual(2) + command(ECHO_CONTEXT, echo_rq(1))
    Play(4, [("feed", twice, 1 << 20), ("work",)]).check()
