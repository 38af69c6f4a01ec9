"""The fuzz targets hold on their seeds, on the corpus, and on some mutations of both; the fuzzer runs."""

from __future__ import annotations

import importlib
import importlib.util
from itertools import islice

import pytest

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


@pytest.mark.skipif(
    not importlib.util.find_spec("atheris"), reason="atheris is missing: pip install '.[fuzz]'"
)
def test_the_fuzzer_runs() -> None:
    assert main(["command_set", "--seconds", "2"]) == 0
