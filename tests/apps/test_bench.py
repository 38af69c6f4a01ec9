"""`dicom-router bench`: its three modes as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from router.__main__ import main
from router.bench.controls import SinkControl
from router.bench.process import peer_process


def bench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "router", "bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_send_says_what_was_answered_and_writes_json_and_report(tmp_path: Path) -> None:
    with SinkControl.start(["--kind", "small"], tmp_path) as sink:
        report = tmp_path / "report.html"
        done = bench(
            "send",
            f"127.0.0.1:{sink.port}",
            "--kind",
            "small",
            "--count",
            50,
            "--json",
            "-",
            "--report",
            report,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["sent"]["answered"] == 50
    assert "50 of 50" in done.stderr
    assert "<svg" in report.read_text("utf-8")


def test_send_fails_when_instances_are_refused(tmp_path: Path) -> None:
    with SinkControl.start(["--refuse-every", "2"], tmp_path) as sink:
        done = bench("send", f"127.0.0.1:{sink.port}", "--count", 4)
    assert done.returncode == 1
    assert "A700H" in done.stdout


def test_send_says_why_it_cannot(tmp_path: Path) -> None:
    done = bench("send", "127.0.0.1:1", "--count", 1)
    assert done.returncode == 1
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(SystemExit):
        main(["bench", "send", "nowhere"])
    with pytest.raises(SystemExit):
        main(["bench"])


def test_sink_counts_what_came(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    words = [
        "sink",
        "0",
        "--host",
        "127.0.0.1",
        "--count",
        "30",
        "--json",
        str(counts),
        "--verify",
        "--kind",
        "tiny",
    ]
    command = [sys.executable, "-m", "router", "bench", *words]
    with peer_process("bench-sink", command, tmp_path, stdout=subprocess.PIPE) as sink:
        assert sink.process.stdout is not None
        port = sink.process.stdout.readline().decode().split(":")[1].split(";")[0]
        assert bench("send", f"127.0.0.1:{port}", "--kind", "tiny", "--count", 30).returncode == 0
        assert sink.process.wait(60) == 0
    assert json.loads(counts.read_text())["received"]["distinct"] == 30


def test_relay_measures_the_router_and_what_a_command_starts(tmp_path: Path) -> None:
    forward = tmp_path / "forward.py"
    forward.write_text(FORWARD)
    words = ["relay", "--relays", "direct", "router-delivered", "--command"]
    words.append(f"{sys.executable} {forward} {{port}} {{sink_port}}")
    done = bench(
        *words, "--rounds", 1, "--count", 60, "--associations", 2, "--directory", tmp_path, "--json", "-"
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]["relay"]
    assert set(results) == {"command", "direct", "router-delivered"}
    for row in results.values():
        assert (row["missing"], row["corrupt"], row["refused"], row["duplicates"]) == (0, 0, 0, 0)
        assert len(row["rounds"]) == 2
    assert results["router-delivered"]["memory_mb"] > 1


FORWARD = """
import asyncio, sys

async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def serve(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()

asyncio.run(main())
"""
