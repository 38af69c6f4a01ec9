"""Question: what does receiving alone cost, beside DCMTK's storescp that ignores what it receives?

Method: the router without any rule (`unmatched = "discard"`) and `storescp --fork --ignore` with
TCP_NODELAY=1, 4 associations, CPU of the whole process tree per instance, in paired rounds. What would make
it lie: CPU is counted in steps of 10 ms, so rounds of less than a second say little.
"""

from __future__ import annotations

from benchmarks.cases.case import Options, Row, compare, cpus_text, ratio, work_of
from benchmarks.peers.relays import RELAYS

NAME = "receive"


def run(options: Options) -> list[Row]:
    """Measure CTs and 2 kB objects."""
    rows = []
    for kind, label in (("ct", "CT"), ("small", "2 kB")):
        names = ("dcmtk-receive", "router-discard")
        results = compare({name: RELAYS[name] for name in names}, work_of(kind, options), options)
        value, noise = ratio(results, "router-discard", "dcmtk-receive", "cpu_all_us")
        title = f"{label}, receive only, CPU per instance, of DCMTK's"
        rows.append(Row(title, value, "", ("<=", 1.0), noise, cpus_text(results)))
    return rows
