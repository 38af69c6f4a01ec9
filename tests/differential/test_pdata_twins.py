"""Invariant: both codecs cut a dataset into the same heads and views, and readers join it again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import _codec.pdata
import router.wire.reference.pdata
from tests.differential.test_framing_twins import READERS, received
from tests.differential.twins import QUICK, outcome

TWINS = (_codec.pdata, router.wire.reference.pdata)
LENGTHS = st.one_of(st.integers(-1, 40), st.sampled_from([0, 16384, 0xFFFFFFFF]))
CONTEXT_IDS = st.one_of(st.integers(0, 255), st.sampled_from([-1, 256]))


def dataset_octets(module, *args):
    return [bytes(piece) for piece in module.dataset_pdus(*args)]


@QUICK
@given(CONTEXT_IDS, st.lists(st.binary(max_size=50), max_size=6), LENGTHS, st.booleans())
def test_datasets_are_cut_alike(context_id, buffers, maximum_length, is_last):
    compiled, reference = (
        outcome(dataset_octets, module, context_id, buffers, maximum_length, is_last) for module in TWINS
    )
    assert compiled == reference


@QUICK
@given(CONTEXT_IDS, st.binary(max_size=200), LENGTHS)
def test_commands_are_cut_alike(context_id, command, maximum_length):
    compiled, reference = (
        outcome(module.command_pdus, context_id, command, maximum_length) for module in TWINS
    )
    assert compiled == reference


@QUICK
@given(st.lists(st.binary(max_size=5000), max_size=5), st.integers(8, 5000), st.integers(1, 6000))
def test_what_is_cut_is_read_back(buffers, maximum_length, read):
    for module in TWINS:
        stream = module.command_pdus(1, b"\1\0", maximum_length)
        stream += b"".join(module.dataset_pdus(1, buffers, maximum_length))
        for framing in READERS:
            assert received(framing, stream, [read], 4500)[0] == b"".join(buffers)
