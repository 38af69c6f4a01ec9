"""Sender and sink against each other: every kind, every manner, and what is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.bench.controls import SinkControl, run_sender
from router.bench.files import template_of, templates_of
from router.bench.instances import KINDS, UID_BYTES, instance_uid
from router.bench.process import HOST, PeerFailed
from router.bench.work import Work
from tests.support.corpus import corpus


def send(sink: SinkControl, work: Work, directory: Path, run: int = 1) -> dict[str, object]:
    return run_sender((HOST, sink.port), work, directory, run=run)


@pytest.mark.parametrize("window", [1, 8])
def test_all_kinds_in_turn_arrive_unchanged(tmp_path: Path, window: int) -> None:
    work = Work(kind=KINDS, count=3 * len(KINDS), associations=2, window=window)
    with SinkControl.start([*work.kind_words(), "--verify"], tmp_path) as sink:
        sent = send(sink, work, tmp_path)
        report = sink.ask(f"audit:{work.count}")
    assert (sent["answered"], sent["statuses"], sent["errors"]) == (work.count, {"0000": work.count}, [])
    assert (report["distinct"], report["missing"], report["corrupt"]) == (work.count, 0, 0)


def test_plain_instances_are_counted_as_the_careful_way_counts_them(tmp_path: Path) -> None:
    work = Work(kind=("small",), count=500, associations=3, window=4)
    with SinkControl.start(work.kind_words(), tmp_path) as sink:
        sent = send(sink, work, tmp_path)
        report = sink.ask("uids")
        assert sink.ask("reset")["instances"] == 0
    assert sorted(report["uids"]) == [instance_uid(1, number) for number in range(500)]
    assert report["dataset_bytes"] == 500 * len(work.templates()[0].dataset)
    assert sum(count for _, count in sent["latency_cells"]) == 500  # type: ignore[attr-defined]


def test_the_same_instances_again_are_duplicates_and_gaps_are_missing(tmp_path: Path) -> None:
    work = Work(kind=("tiny",), count=10, associations=1)
    with SinkControl.start([], tmp_path) as sink:
        for _ in range(2):
            send(sink, work, tmp_path)
        report = sink.ask("audit:12")
    assert (report["instances"], report["duplicates"], report["missing"]) == (20, 10, 2)


def test_a_sink_refuses_delays_and_writes_down_as_it_is_told(tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    manners = ["--delay-ms", "1", "--refuse-every", "5", "--refuse-status", "A900", "--record", str(records)]
    work = Work(kind=("small",), count=20, associations=2, window=4)
    with SinkControl.start(manners, tmp_path) as sink:
        sent = send(sink, work, tmp_path)
        report = sink.ask("report")
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert sent["statuses"] == {"A900": 4, "0000": 16}
    assert (report["refused"], report["instances"]) == (4, 16)
    assert sent["latency_s"]["p50"] >= 0.001  # type: ignore[index]
    assert {line["uid"] for line in lines} == {instance_uid(1, number) for number in range(20)}
    assert all(len(line["sha256"]) == 64 and line["bytes"] > 2000 for line in lines)


def test_a_sink_that_aborts_costs_the_association_and_no_more(tmp_path: Path) -> None:
    work = Work(kind=("tiny",), count=50, associations=2)
    with SinkControl.start(["--abort-every", "10"], tmp_path) as sink:
        sent = send(sink, work, tmp_path)
        report = sink.ask("report")
    assert len(sent["errors"]) == report["aborted"] == 2  # type: ignore[arg-type]
    assert sent["answered"] == report["instances"]


def test_a_sink_that_rejects_is_told_as_a_failure(tmp_path: Path) -> None:
    with SinkControl.start(["--reject"], tmp_path) as sink:
        with pytest.raises(PeerFailed, match="PDU type 3"):
            send(sink, Work(count=1), tmp_path)


def test_a_rate_is_kept_and_latency_counts_from_the_due_time(tmp_path: Path) -> None:
    work = Work(kind=("tiny",), count=40, rate=200.0, associations=2)
    with SinkControl.start([], tmp_path) as sink:
        sent = send(sink, work, tmp_path)
    assert sent["answered"] == 40
    assert sent["elapsed_s"] >= 39 / 200  # type: ignore[operator]


@pytest.mark.parametrize("codec", ["compiled", "reference"])
def test_it_runs_on_either_hot_path(tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_CODEC", codec)
    work = Work(kind=("small", "mr"), count=40, window=3)
    with SinkControl.start(work.kind_words(), tmp_path) as sink:
        sent = send(sink, work, tmp_path)
        report = sink.ask("audit:40")
    assert (sent["answered"], report["missing"], report["corrupt"]) == (40, 0, 0)


def test_files_get_a_new_uid_and_are_otherwise_as_they_were() -> None:
    checked = 0
    for instance in corpus():
        templates, left_out = templates_of((instance.path,))
        assert len(templates) + len(left_out) == 1
        if not templates:
            continue
        template = template_of(instance.path)
        end = template.uid_offset + UID_BYTES
        assert (template.sop_class, template.transfer_syntax) == (
            instance.sop_class,
            instance.transfer_syntax,
        )
        assert instance.dataset.rstrip(b"\0").endswith(template.dataset[end:].rstrip(b"\0"))
        assert len(template.dataset) % 2 == 0
        checked += 1
    assert checked > 100


def test_real_files_arrive_unchanged(tmp_path: Path) -> None:
    paths = tuple(instance.path for instance in corpus() if templates_of((instance.path,))[0])[:30]
    work = Work(files=paths, count=60, associations=2)
    with SinkControl.start([*work.kind_words(), "--verify"], tmp_path) as sink:
        sent = send(sink, work, tmp_path)
        report = sink.ask("audit:60")
    assert (sent["answered"], report["missing"], report["corrupt"]) == (60, 0, 0)
