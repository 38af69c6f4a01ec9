"""The fuzz targets hold on their seeds, on the corpus, and on some mutations of both; the fuzzer runs."""

from __future__ import annotations

import importlib
import importlib.util
import re
from itertools import islice

import pytest

from tests.fuzz import run
from tests.fuzz.mutations import mutations
from tests.fuzz.run import TARGETS, main, starting_inputs

MUTATIONS = 150


@pytest.mark.parametrize("name", TARGETS)
def test_the_invariant_holds_on_seeds_corpus_and_mutations(name: str) -> None:
    check = importlib.import_module(f"tests.fuzz.targets.{name}").check
    inputs = starting_inputs(name)
    for data in [b"", *inputs, *islice(mutations(inputs, 7), MUTATIONS)]:
        check(data)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_says_what_holds_and_what_may_be_raised(name: str) -> None:
    text = importlib.import_module(f"tests.fuzz.targets.{name}").__doc__ or ""
    assert text.startswith("Invariant: ")
    assert "Allowed exceptions: " in text


needs_fuzzer = pytest.mark.skipif(
    not importlib.util.find_spec("atheris"), reason="atheris is missing: pip install '.[fuzz]'"
)


@needs_fuzzer
def test_the_fuzzer_runs() -> None:
    assert main(["command_set", "--seconds", "2"]) == 0


@needs_fuzzer
def test_the_brief_run_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run.BRIEF_EXECUTIONS, "spool_segment", 1500)
    ends = []
    for _ in range(2):
        assert main(["spool_segment"]) == 0
        log = (run.WORK / "spool_segment.log").read_text()
        ends.append(re.findall(r"DONE(.*)exec/s", log))
    assert ends[0] == ends[1] != []


def test_every_target_has_its_part_in_the_brief_run() -> None:
    assert tuple(run.BRIEF_EXECUTIONS) == TARGETS
