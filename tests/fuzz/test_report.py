"""A target that broke is told with its seed, its input and the reason, last of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.report import Ran, broken_of, tell

FAULT = """INFO: Seed: 7
#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 40Mb
 === Uncaught Python exception: ===
AssertionError: results differ
Traceback (most recent call last):
  File "lanes.py", line 1, in check
==1== ERROR: libFuzzer: fuzz target exited
MS: 1 ChangeBit-; base unit: abc
0x1,0x2,
\\001\\002
artifact_prefix='/x/'; Test unit written to {path}
Base64: AQI=
stat::number_of_executed_units: 2
"""


def test_nothing_is_told_of_a_target_that_holds(tmp_path: Path) -> None:
    assert broken_of("lanes", 7, Ran(0, 2, tmp_path / "none")) is None


def test_what_broke_is_told_with_seed_input_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, log = tmp_path / "lanes-crash", tmp_path / "lanes.log"
    path.write_bytes(b"\1\2")
    log.write_text(FAULT.format(path=path))
    broken = broken_of("lanes", 7, Ran(77, 2, log))
    assert broken is not None
    tell(broken)
    told = capsys.readouterr().out
    assert "target lanes, seed 7, exit code 77" in told
    assert "AssertionError: results differ" in told
    assert "hex: 0102" in told
    assert f"again: python -m tests.fuzz.one lanes {path}" in told
    assert "cov: 3" not in told
    assert "ChangeBit" not in told


def test_a_target_that_never_ran_is_told_with_what_it_said(tmp_path: Path) -> None:
    log = tmp_path / "lanes.log"
    log.write_text("Traceback\nImportError: no codec\n")
    broken = broken_of("lanes", 7, Ran(1, 0, log))
    assert broken is not None
    assert broken.why == ["Traceback", "ImportError: no codec"]
    assert broken.input is None
