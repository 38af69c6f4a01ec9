"""List every setting with its type, unit, default, range, reload class and sentence."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from router.config import values
from router.config.schema import Config
from router.config.section import ReloadClass, Section


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table.

    key: `router.ack`; NAME stands for a chosen name, `rules[]` for any rule. table: the key's front part.
    default: the Python value, meaningless when required. minimum and maximum are inclusive; None: no bound.
    """

    key: str
    table: str
    type: str
    unit: str
    required: bool
    default: Any
    minimum: float | None
    maximum: float | None
    reload: ReloadClass
    sentence: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key[len(self.table) + 1 :]

    @property
    def range(self) -> str:
        """The range in words, or empty."""
        if self.minimum is None and self.maximum is None:
            return ""
        return (
            f"{self.minimum or 0:.15g} to {self.maximum:.15g}"
            if self.maximum
            else f"at least {self.minimum:g}"
        )


def tables() -> dict[str, type[Section]]:
    """Return the tables of the file in its order: name as in Setting.table -> model."""
    found: dict[str, type[Section]] = {}
    for name, field in Config.model_fields.items():
        annotation = field.annotation
        if get_origin(annotation) is dict:
            found[f"{name}.NAME"] = _section_in(annotation)
        elif get_origin(annotation) is tuple:
            found[f"{name}[]"] = _section_in(annotation)
        else:
            found[name] = typing.cast("type[Section]", annotation)
        for table in tuple(found)[-1:]:
            found |= {f"{table}.{inner}": model for inner, model in inner_tables(found[table]).items()}
    return found


def inner_tables(model: type[Section]) -> dict[str, type[Section]]:
    """Return the optional tables inside a table: name -> model."""
    found = {name: optional_section(field.annotation) for name, field in model.model_fields.items()}
    return {name: section for name, section in found.items() if section is not None}


def optional_section(annotation: Any) -> type[Section] | None:
    """Return the model of an annotation `Model | None`, or None for any other annotation."""
    if get_origin(annotation) not in (typing.Union, types.UnionType):
        return None
    return next((one for one in get_args(annotation) if _is_section(one)), None)


def describe() -> Iterator[Setting]:
    """Yield every setting, in the order of the file."""
    for table, model in tables().items():
        inner = inner_tables(model)
        for name, field in model.model_fields.items():
            if name not in inner:
                yield _described(f"{table}.{name}", table, field)


def _described(key: str, table: str, field: FieldInfo) -> Setting:
    extra = typing.cast("dict[str, Any]", field.json_schema_extra)
    return Setting(
        key=key,
        table=table,
        type=_type_text(field.annotation, field.metadata),
        unit=extra["unit"],
        required=field.is_required(),
        default=field.default,
        minimum=next((_number(one.ge) for one in field.metadata if isinstance(one, Ge)), None),
        maximum=next((_number(one.le) for one in field.metadata if isinstance(one, Le)), None),
        reload=extra["reload"],
        sentence=field.description or "",
    )


def _number(bound: Any) -> float:
    return bound if isinstance(bound, int) else float(bound)


_CHECKED: dict[Callable[..., Any], str] = {
    values.check_ae_title: "AE title",
    values.check_network: "network",
    values.check_host: "host",
    values.check_name: "name",
    values.check_path: "path",
    values.check_fingerprint: "fingerprint",
}
_PLAIN: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def _type_text(annotation: Any, metadata: list[Any]) -> str:
    """Name the type of a setting in the words of the file."""
    for one in metadata:
        if isinstance(one, AfterValidator) and one.func in _CHECKED:
            return _CHECKED[one.func]
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(arguments[0], list(arguments[1:]))
    if origin is Literal:
        return " or ".join(f'"{one}"' for one in arguments)
    if origin is tuple:
        inner = _type_text(arguments[0], [])
        return f"list of {inner}" if inner == "text" or inner.endswith('"') else f"list of {inner}s"
    if origin in (typing.Union, types.UnionType):
        return _type_text(next(one for one in arguments if one is not types.NoneType), [])
    return "table"


def _section_in(annotation: Any) -> type[Section]:
    return typing.cast("type[Section]", next(one for one in get_args(annotation) if _is_section(one)))


def _is_section(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, Section)
