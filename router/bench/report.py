"""A report to show around: one HTML page with key numbers, plots and a table for each kind of work
measured.
"""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from router.bench.page import COLOURS, page
from router.bench.plots import Subject, bars, in_time, lines, ridges, short
from router.bench.series import rates

GREY = 8  # for what stands beside as a measure
MEASURES = ("direct", "haproxy")
METHOD = (
    "Every instance has its own SOP Instance UID; counts are compared by UID, and in a first round, which "
    "does not count, every octet. The rate counts until the last instance has reached the sink. Figures are "
    "medians over paired rounds, dots are single rounds; noise is the median absolute deviation over the "
    "median. CPU is that of the relay's whole process tree. Sender and sink run on the same machine and "
    "share its cores."
)


SENDING_METHOD = (
    "Every instance has its own SOP Instance UID. A latency counts from sending an instance (with a rate, "
    "from when it was due) to its answer. Whatever else runs at both ends is part of the figures."
)


def write_report(
    path: Path,
    report: Mapping[str, Any],
    reference: str = "",
    title: str = "Relay benchmark",
    method: str = METHOD,
) -> None:
    """Write the page of a report: machine, works (kind -> text), results (kind -> relay -> summary).

    reference: the relay that the others are compared with.
    """
    sections = [
        section(report["works"][kind], results, reference) for kind, results in report["results"].items()
    ]
    path.write_text(
        page(html.escape(title), subtitle(report["machine"]), "\n".join(sections), method), "utf-8"
    )


def subtitle(machine: Mapping[str, Any]) -> str:
    """Say when and where it was measured."""
    said = (
        f"{time.strftime('%Y-%m-%d %H:%M')} \N{MIDDLE DOT} {machine['cpus']} cores, {machine['model']}, "
        f"{machine['memory_gb']} GB \N{MIDDLE DOT} Linux {machine['kernel']} "
        f"(TCP: {machine['congestion_control']}) \N{MIDDLE DOT} "
        f"Python {machine['python']} \N{MIDDLE DOT} load average {machine['load_1min']}"
    )
    return html.escape(said)


def section(work: str, results: Mapping[str, Mapping[str, Any]], reference: str) -> str:
    """Return what is shown of one kind of work."""
    subjects = [
        _subject(name, row, colour)
        for (name, row), colour in zip(results.items(), _colours(results), strict=True)
    ]
    name = next((one for one in results if one not in MEASURES), next(iter(results)))
    title, bracket, rest = work.partition("), ")
    cards = [f"<h2>{html.escape(title + bracket[:1])}</h2>", f"<p>{html.escape(rest)}</p>"]
    cards.append(_keys(name, results, reference))
    if len(subjects) > 1:
        rate = bars(subjects, lambda one: one.rate, lambda one: one.rates, "instances/s")
        cpu = bars(
            [one for one in subjects if one.cpu_us], lambda one: one.cpu_us, lambda one: one.cpus_us, "us CPU"
        )
        cards.append(
            f'<div class="two">{_card("Instances per second", "more is better", rate)}'
            f"{_card('CPU per instance, microseconds', 'less is better; the whole process tree', cpu)}</div>"
        )
    cards.append(
        _card(
            "Throughput over time",
            "instances per second, the round nearest the median",
            lines(subjects, "/s"),
        )
    )
    cards.append(
        _card(
            "Latency",
            "from sending an instance to its answer; logarithmic; marks: p50, p99",
            ridges(subjects),
        )
    )
    cards.append(f'<div class="card wide">{_table(results, subjects, reference)}</div>')
    return "\n".join(card for card in cards if card)


def _colours(results: Mapping[str, Any]) -> list[int]:
    """Give what is measured a colour of its own, and grey to what stands beside as a measure."""
    found, colour = [], 0
    for name in results:
        if name == "direct":
            found.append(GREY)
        else:
            colour = colour % (COLOURS - 1) + 1
            found.append(colour)
    return found


def _subject(name: str, row: Mapping[str, Any], colour: int) -> Subject:
    latency = row["latency_s"]
    return Subject(
        name,
        colour,
        row["rate"],
        row["rates"],
        row["cpu_us"],
        row["cpu_all_us"],
        _without_edges(rates([(float(t), int(n)) for t, n in row["series"]])),
        [(int(cell), int(count)) for cell, count in row["latency_cells"]],
        latency.get("p50", 0.0),
        latency.get("p99", 0.0),
    )


def _without_edges(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave the last, shorter step out, where the sender only waits for answers."""
    return points[:-1] if len(points) > 3 else points


def _keys(name: str, results: Mapping[str, Mapping[str, Any]], reference: str) -> str:
    row, base = results[name], results.get(reference)
    keys = [(short(row["rate"]), f"instances/s, {name}", "")]
    keys.append((f"{short(row['bytes_per_s'] / 1e6)} MB/s", "of datasets", ""))
    if base and name != reference:
        keys.append((f"{row['rate'] / base['rate']:.2f}", f"of {reference}'s rate", ""))
    if row["cpu_us"]:
        keys.append((f"{short(row['cpu_us'])} \N{MICRO SIGN}s", "CPU per instance", ""))
    keys.append((in_time(row["latency_s"].get("p50", 0.0)), "latency p50", ""))
    keys.append((in_time(row["latency_s"].get("p99", 0.0)), "latency p99", ""))
    wrong = sum(row[fault] for fault in ("missing", "corrupt", "refused", "errors"))
    keys.append((f"{wrong:,}", "missing, corrupt, refused, errors", "bad" if wrong else "good"))
    cards = "".join(
        f'<div class="card key {mood}"><b>{html.escape(value)}</b><span>{html.escape(label)}</span></div>'
        for value, label, mood in keys
    )
    return f'<div class="keys">{cards}</div>'


def _card(title: str, note: str, plot: str) -> str:
    if not plot:
        return ""
    head = f'<h3>{html.escape(title)}</h3><p class="note">{html.escape(note)}</p>'
    return f'<div class="card wide">{head}{plot}</div>'


def _table(results: Mapping[str, Mapping[str, Any]], subjects: Sequence[Subject], reference: str) -> str:
    base = results.get(reference)
    heads = [
        "",
        "instances/s",
        *([f"of {reference}"] if base else []),
        "noise",
        "MB/s",
        "CPU \N{MICRO SIGN}s",
    ]
    heads += ["p50", "p90", "p99", "p99.9", "memory MB", "missing", "twice", "corrupt", "refused"]
    rows = ["<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"]
    for (name, row), subject in zip(results.items(), subjects, strict=True):
        cells = [short(row["rate"]), *([f"{row['rate'] / base['rate']:.3f}"] if base else [])]
        cells += [f"{row['noise']:.1%}", f"{row['bytes_per_s'] / 1e6:,.1f}"]
        cells.append(f"{row['cpu_us']:,.1f}" if row["cpu_us"] else "\N{EN DASH}")
        cells += [in_time(row["latency_s"].get(share, 0.0)) for share in ("p50", "p90", "p99", "p99.9")]
        cells.append(f"{row['memory_mb']:,.0f}" if row["memory_mb"] else "\N{EN DASH}")
        shown = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        for fault in ("missing", "duplicates", "corrupt", "refused"):
            shown += f'<td class="{"fault" if row[fault] else ""}">{row[fault]:,}</td>'
        rows.append(f'<tr><td><i class="c{subject.colour}"></i>{html.escape(name)}</td>{shown}</tr>')
    return f"<table>{''.join(rows)}</table>"
