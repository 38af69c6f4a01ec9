"""Collect the mistakes of one configuration file; say each as key, why and hint."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.config.describe import optional_section
from router.config.schema import Config
from router.config.values import kind_of
from router.errors import ConfigError, ConfigErrors
from router.standard.printable import printable

MISTAKES_MAX = 100
KEY_MAX_CHARACTERS = 200

Location = Sequence[str | int]


class Mistakes:
    """The mistakes found so far in the file called path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._found: list[ConfigError] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, key: str, why: str, hint: str = "") -> None:
        """Add one mistake; the first MISTAKES_MAX are kept."""
        if len(self._found) < MISTAKES_MAX:
            self._found.append(ConfigError(self.path, printable_key(key), why, hint))

    def add_from_pydantic(self, error: ValidationError, table: dict[str, Any]) -> None:
        """Add all that pydantic found in the table."""
        for details in error.errors(include_url=False, include_context=True):
            location = [part for part in details["loc"] if part != "[key]"]
            why, hint = _said_plainly(details, location, table)
            self.add(key_text(location), why, hint)

    def errors(self) -> ConfigErrors:
        """Return the exception to raise."""
        return ConfigErrors(list(self._found))


def key_text(location: Location) -> str:
    """Write a place in the file: rules[2].when.Modality."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def printable_key(key: str) -> str:
    """Return a key safe to print; quotes, as in tags, stay."""
    return printable(key, KEY_MAX_CHARACTERS).replace('\\"', '"')


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return "did you mean X?" or the words that are known."""
    folded = {one.lower(): one for one in reversed(known)}
    near = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return "known: " + ", ".join(known) if known else ""


def _said_plainly(details: ErrorDetails, location: list[str | int], table: dict[str, Any]) -> tuple[str, str]:
    """Return (why, hint) for one of pydantic's findings."""
    kind, context = details["type"], details.get("ctx", {})
    value = _value_at(table, location)
    got = f", got {kind_of(value)}"
    if kind == "extra_forbidden":
        return "is not a setting", suggestion(str(location[-1]), _settings_at(location[:-1]))
    if kind == "missing":
        return "is required", ""
    if kind == "value_error":
        return str(context["error"]), ""
    if kind == "literal_error":
        allowed = [one.strip("' ") for one in context["expected"].replace(" or ", ",").split(",")]
        return "must be " + " or ".join(f'"{one}"' for one in allowed) + got, _near_value(value, allowed)
    bounds = {"greater_than_equal": ("least", "ge"), "less_than_equal": ("most", "le")}
    if kind in bounds:
        word, name = bounds[kind]
        return f"must be at {word} {context[name]:g}{got}", ""
    if location == ["rules"]:
        return f"must be a list of tables{got}", "each rule begins with [[rules]]"
    wanted, hint = _KINDS.get(kind, ("", ""))
    if wanted:
        is_apt = isinstance(value, str) or kind == "string_type" or "[" in hint
        return f"must be {wanted}{got}", hint if is_apt else ""
    return details["msg"][:1].lower() + details["msg"][1:] + got, ""


_KINDS = {
    "int_type": ("a whole number", "write it without quotes"),
    "int_parsing": ("a whole number", "write it without quotes"),
    "float_type": ("a number", "write it without quotes"),
    "finite_number": ("a finite number", ""),
    "bool_type": ("true or false", "write it without quotes"),
    "string_type": ("text", "text stands in quotes"),
    "tuple_type": ("a list", 'a list stands in brackets: ["A", "B"]'),
    "dict_type": ("a table", "a table begins with its name: [name]"),
    "model_type": ("a table", "a table begins with its name: [name]"),
}


def _near_value(value: Any, allowed: list[str]) -> str:
    near = difflib.get_close_matches(str(value).lower(), allowed, n=1)
    return f'did you mean "{near[0]}"?' if near else ""


def _value_at(table: Any, location: Location) -> Any:
    for part in location:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            return None
    return table


def _settings_at(location: Location) -> list[str]:
    """Return the names that a table of the file may have."""
    model: Any = Config
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = (optional_section(field.annotation) or field.annotation) if field else None
        else:  # dict[Name, Model] or tuple[Model, ...]: one of its members
            model = next((one for one in get_args(model) if _is_model(one)), None)
    return list(model.model_fields) if _is_model(model) else []


def _is_model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)
