"""The example configuration is generated, valid, and shows every default as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from router.config.describe import describe
from router.config.load import load_config, parse_config
from router.config.reference import EXAMPLE_VALUES, example_text, toml_value
from router.config.schema import Config

EXAMPLE = Path(__file__).parents[2] / "deploy/router.example.toml"


def test_the_file_in_deploy_is_what_the_generator_writes() -> None:
    assert EXAMPLE.read_text() == example_text(), (
        "run python -m router.config.reference > deploy/router.example.toml"
    )


def test_the_example_is_valid_and_sets_nothing_but_what_it_must() -> None:
    config = load_config(EXAMPLE)
    defaults = Config()
    for table in ("router", "listener", "admin", "spool", "limits", "log", "sources"):
        assert getattr(config, table) == getattr(defaults, table)
    assert list(config.destinations) == ["PACS"]


def test_every_setting_is_in_it() -> None:
    text = example_text()
    for setting in describe():
        assert re.search(rf"^#?{setting.name} = ", text, re.MULTILINE), setting.key


def test_the_commented_defaults_are_the_defaults() -> None:
    shown = re.sub(r"^#(\[|\w+ = )", r"\1", example_text(), flags=re.MULTILINE)
    for begin, end in (
        (r"\[sources", "# A peer"),
        (r"\[listener.tls", "# The HTTP"),
        (r"\[destin\S+tls", "# Rul"),
    ):
        shown = re.sub(rf"^{begin}.*?(?=^{end})", "", shown, flags=re.MULTILINE | re.DOTALL)
    config = parse_config(shown)
    expected = parse_config(EXAMPLE.read_text())
    assert config == expected


def test_every_example_value_belongs_to_a_setting() -> None:
    assert set(EXAMPLE_VALUES) <= {setting.key for setting in describe()}


def test_values_are_written_as_toml() -> None:
    for value in ('a"\\b', 5, 0.5, True, ["a", "b"], {"a": {"b": [1]}}, {}):
        assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value
