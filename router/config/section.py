"""How a setting is declared, and what every table of the file has in common."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ReloadClass = Literal["live", "next association", "restart"]
REQUIRED: Any = ...  # a setting without a default


def setting(
    default: Any,
    sentence: str,
    *,
    reload: ReloadClass,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    """Declare one setting: its default, one sentence, its unit, its inclusive range and its reload class."""
    extra: dict[str, Any] = {"unit": unit, "reload": reload}
    strict = isinstance(default, int | float) or None  # "11112", 1.0 and 1 are not 11112, 1 and true
    return Field(default, description=sentence, ge=ge, le=le, strict=strict, json_schema_extra=extra)


class Section(BaseModel):
    """A table of the file: unknown keys are errors, and no text is taken for a number or a switch."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
