"""The tables that `dicom-router bench` and the benchmarks print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

COLUMNS = ("relay", "instances/s", "MB/s", "noise", "CPU us", "p50 us", "p99 us", "MB")
FAULTS = ("missing", "twice", "corrupt", "refused")


def relay_table(
    title: str,
    results: Mapping[str, Mapping[str, Any]],
    reference: str = "",
    old: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """Lay out the summaries of relays.

    reference: the relay that rate and CPU are compared with, if it is among them; old: an earlier run's.
    """
    base = results.get(reference)
    table = Table(title=title, title_style="bold")
    extra = ("old/s", "new/old") if old else ()
    ratios = (f"of {reference}", f"CPU of {reference}'s") if base else ()
    for column in (*COLUMNS[:2], *extra, *ratios, *COLUMNS[2:], *FAULTS):
        table.add_column(column, justify="left" if column == "relay" else "right")
    for name, row in results.items():
        before = (old or {}).get(name, {}).get("rate")
        cells = [name, f"{row['rate']:,.0f}"]
        if old:
            cells += [f"{before:,.0f}", f"{row['rate'] / before:.2f}"] if before else ["-", "-"]
        if base:
            cells += [f"{row['rate'] / base['rate']:.2f}", _ratio(row["cpu_us"], base["cpu_us"])]
        cells += [f"{row['bytes_per_s'] / 1e6:,.1f}", f"{row['noise']:.1%}", f"{row['cpu_us']:,.1f}"]
        cells += [
            f"{row['latency_p50_us']:,.0f}",
            f"{row['latency_p99_us']:,.0f}",
            f"{row['memory_mb']:,.0f}",
        ]
        faults = [row[fault] for fault in ("missing", "duplicates", "corrupt", "refused")]
        table.add_row(*cells, *(f"[red]{count}[/red]" if count else "0" for count in faults))
    return table


def sending_table(title: str, sent: Mapping[str, Any]) -> Table:
    """Lay out a sender's report."""
    table = Table(title=title, title_style="bold", show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("answered", f"{sent['answered']:,} of {sent['attempted']:,}")
    table.add_row("seconds", f"{sent['elapsed_s']:,.2f}")
    table.add_row("instances/s", f"{sent['rate']:,.1f}")
    table.add_row("MB/s", f"{sent['bytes_per_s'] / 1e6:,.1f}")
    for name, value in sent["latency_s"].items():
        table.add_row(f"latency {name}", in_time(value))
    table.add_row("sender's CPU per instance", f"{sent['cpu_s'] / max(1, sent['answered']) * 1e6:,.1f} us")
    for status, count in sent["statuses"].items():
        table.add_row(f"status {status}H", f"{count:,}")
    for error in sent["errors"][:5]:
        table.add_row("[red]error[/red]", error)
    return table


def sink_table(title: str, counts: Mapping[str, Any]) -> Table:
    """Lay out a sink's report."""
    table = Table(title=title, title_style="bold", show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name in ("instances", "distinct", "duplicates", "corrupt", "refused", "aborted", "associations"):
        table.add_row(name, f"{counts[name]:,}")
    table.add_row("MB", f"{counts['dataset_bytes'] / 1e6:,.1f}")
    return table


def in_time(seconds: float) -> str:
    """Say a duration in the unit that fits."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:,.0f} us"
    return f"{seconds * 1e3:,.2f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}" if base else "-"
