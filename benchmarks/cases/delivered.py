"""Question: how near the machine's limit is forwarding with `ack = "delivered"`, and how far ahead of other
software?

Method: 4 associations, one destination; HAProxy in TCP mode, the router, and the pynetdicom script and
Orthanc in the same paired rounds. What would make it lie: two cores are shared by sender, relay and sink,
so that whatever costs them less lets them do more; Orthanc and pynetdicom are so slow that few instances
pass in a short round.
"""

from __future__ import annotations

from benchmarks.cases.case import Options, Row, compare, cpus_text, rates_text, ratio, work_of
from benchmarks.peers.relays import RELAYS
from router.bench.process import find_program

NAME = "delivered"
ROUTER, REFERENCE = "router-delivered", "haproxy"


def run(options: Options) -> list[Row]:
    """Measure CTs and 2 kB objects."""
    return [*_kind("ct", 0.75, 1.6, {"pynetdicom": 25, "orthanc": 50}, options),
            *_kind("small", 0.5, 3.5, {"pynetdicom": 100}, options)]  # fmt: skip


def _kind(kind: str, least: float, most: float, peers: dict[str, float], options: Options) -> list[Row]:
    present = {name: bar for name, bar in peers.items() if name != "orthanc" or find_program("Orthanc")}
    names = [REFERENCE, ROUTER, *present]
    results = compare({name: RELAYS[name] for name in names}, work_of(kind, options), options)
    label = "CT" if kind == "ct" else "2 kB"
    rates, costs = rates_text(results), cpus_text({name: results[name] for name in names[:2]})
    rows = [
        _row(
            f"{label}, delivered, of HAProxy's rate", ratio(results, ROUTER, REFERENCE), (">=", least), rates
        ),
        _row(
            f"{label}, CPU per instance, of HAProxy's",
            ratio(results, ROUTER, REFERENCE, "cpu_all_us"),
            ("<=", most),
            costs,
        ),
    ]
    for name, bar in present.items():
        title = "the pynetdicom script" if name == "pynetdicom" else "Orthanc"
        rows.append(_row(f"{label}, times {title}", ratio(results, ROUTER, name), (">=", bar), "", "x"))
    return rows


def _row(what: str, found: tuple[float, float], bar: tuple[str, float], detail: str, unit: str = "") -> Row:
    return Row(what, found[0], unit, bar, found[1], detail)
