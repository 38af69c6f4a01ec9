"""Question: what does the structural scan cost per instance, as a worker runs it?

Unit: time per instance. Method: pytest-benchmark in one process, on the load tool's CT (0.5 MB, in pieces as
long as the slots of a slab), its small image (2 kB) and its report (4 kB, nested content items), under every
policy. What would make it lie: a busy neighbour on the same core (compare minima); and cold memory, for here
the elements' heads are in the cache, as they are when an instance has just been received.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from router.bench.instances import instance_uid, template
from router.processes.structure_gate import refusal_of

SLOT_BYTES = 256 * 1024
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


@pytest.fixture(params=["ct", "small", "sr"])
def instance(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    dataset = memoryview(template(request.param).dataset_of(instance_uid(1, 1)))
    views = [dataset[at : at + SLOT_BYTES] for at in range(0, len(dataset), SLOT_BYTES)]
    ticket = SimpleNamespace(file="", dataset_bytes=len(dataset), transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)
    return ticket, SimpleNamespace(views=lambda: views)


@pytest.mark.parametrize("policy", ["off", "nesting", "strict"])
def test_structure_scan(benchmark: Any, instance: tuple[Any, Any], policy: Any) -> None:
    assert benchmark(refusal_of, policy, *instance) == ("", "")
