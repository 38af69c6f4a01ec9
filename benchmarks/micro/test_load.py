"""Question: what does the load tool add to each instance, compiled and as its twin?

Unit: time of one call. Method: pytest-benchmark in one process, data in cache. What would make it lie: the
octets come cold from the kernel when it runs.
"""

from __future__ import annotations

import importlib
from array import array
from typing import Any

import pytest

from router.bench import wire
from router.bench.instances import instance_uid, template
from router.bench.layout import Layout

SMALL = template("small")


@pytest.fixture(params=["_codec.load", "router.bench.reference"], ids=["compiled", "twin"])
def load(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


def test_patch_one_instance(benchmark: Any, load: Any) -> None:
    benchmark.group = "load: patch one instance"
    image = load.Image(bytearray(400), 20, 100, 300)
    benchmark(image.patch, 1234567, 7)


def test_take_one_answer(benchmark: Any, load: Any) -> None:
    benchmark.group = "load: begin an operation, take its answer"
    lane = load.Lane(1, array("q", bytes(8 * load.CELLS)))
    request = wire.decode_command(wire.c_store_rq(SMALL.sop_class, instance_uid(1, 5), 1))
    pdu = wire.command_pdu(1, wire.response(request, 0))
    places = {name: (start + 12, end + 12) for name, start, end in wire.command_elements(pdu[12:])}
    id_at, uid_end = places[wire.MESSAGE_ID_BEING_RESPONDED_TO][0], places[wire.AFFECTED_SOP_INSTANCE_UID][1]
    lane.learn(pdu, id_at, uid_end - 10)
    data = bytearray(pdu)

    def take() -> int:
        lane.begin(5, 0)
        return int(lane.take(data, 0, len(data), 1000))

    assert benchmark(take) == len(data)


def test_pass_over_one_store(benchmark: Any, load: Any) -> None:
    benchmark.group = "load: pass over one C-STORE of 2 kB"
    uid = instance_uid(1, 5)
    command, dataset = wire.c_store_rq(SMALL.sop_class, uid, 1), SMALL.dataset_of(uid)
    head = wire.pdata_head(1, wire.LAST_FRAGMENT, len(dataset))
    data, out = bytearray(wire.command_pdu(1, command) + head + dataset), bytearray()
    skimmer = load.Skimmer()
    Layout.of(1, command).show(skimmer, 1, command, len(dataset))

    def skim() -> int:
        out.clear()
        return int(skimmer.skim(data, 0, len(data), out, 1))

    assert benchmark(skim) == len(data)
    skimmer.take_numbers()
