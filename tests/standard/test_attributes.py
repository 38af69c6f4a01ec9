"""The table of data elements is what its generator writes, and answers both ways."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from router.standard import attributes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "tests/support/generate_attributes.py"
    spec = importlib.util.spec_from_file_location("generate_attributes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_module_is_what_the_generator_writes(generator: ModuleType) -> None:
    assert (ROOT / "router/standard/attributes.py").read_text() == generator.module_text()


def test_every_element_is_found_by_keyword_and_by_tag() -> None:
    assert len(attributes.by_keyword()) == len(attributes.by_tag()) > 4000
    for keyword, tag in attributes.by_keyword().items():
        assert attributes.keyword_of(tag) == keyword


def test_known_elements() -> None:
    assert attributes.tag_of("Modality") == 0x00080060
    assert attributes.vr_of(0x00080060) == "CS"
    assert attributes.vr_of(0x00280106) == "US"
    assert attributes.tag_of("modality") is None
    assert attributes.vr_of(0x00090001) is None
    assert attributes.keyword_of(0x00090001) is None
