"""The settings table is complete, and says of each setting what a person needs."""

from __future__ import annotations

from router.config.describe import describe, tables
from router.config.schema import Config

SETTINGS = {setting.key: setting for setting in describe()}
UNIT_OF_ENDING = {"_s": "s", "_kb": "kb", "_mb": "mb", "_gb": "gb", "_percent": "%"}


def test_every_field_of_every_table_is_listed_once() -> None:
    keys = [
        f"{table}.{name}"
        for table, model in tables().items()
        for name in model.model_fields
        if f"{table}.{name}" not in tables()
    ]
    assert list(SETTINGS) == keys
    tops = dict.fromkeys(table.split(".")[0].removesuffix("[]") for table in tables())
    assert list(tops) == list(Config.model_fields)
    assert {"listener.tls", "destinations.NAME.tls"} <= set(tables())


def test_every_setting_has_a_sentence_a_type_and_a_reload_class() -> None:
    for setting in SETTINGS.values():
        assert setting.sentence[0].isupper(), setting.key
        assert setting.sentence.endswith("."), setting.key
        assert setting.type, setting.key
        assert setting.reload in ("live", "next association", "restart"), setting.key


def test_numbers_have_a_range_and_the_unit_of_their_name() -> None:
    for setting in SETTINGS.values():
        if setting.type in ("number", "whole number"):
            assert setting.range, setting.key
            assert setting.minimum is not None, setting.key
        for ending, unit in UNIT_OF_ENDING.items():
            if setting.name.endswith(ending):
                assert setting.unit == unit, setting.key


def test_defaults_lie_in_their_range() -> None:
    for setting in SETTINGS.values():
        if setting.minimum is not None and not setting.required:
            assert setting.minimum <= setting.default <= (setting.maximum or setting.default), setting.key


def test_some_rows_in_full() -> None:
    port = SETTINGS["destinations.NAME.port"]
    assert (port.type, port.range, port.required) == ("whole number", "1 to 65535", True)
    assert SETTINGS["router.ack"].type == '"stored" or "delivered"'
    assert SETTINGS["sources.NAME.addresses"].type == "list of networks"
    assert SETTINGS["sources.NAME.ack"].type == '"stored" or "delivered"'
    assert SETTINGS["rules[].to"].type == "list of text"
