"""Write the commented example configuration from the settings table.

Run `python -m router.config.reference > deploy/router.example.toml`. The file is a valid configuration.
"""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from router.config.describe import Setting, describe, tables

WIDTH = 110

HEAD = """\
# Every setting of dicom-router, with its default. Written by `python -m router.config.reference`.
# Check a file with `dicom-router check FILE`.
#
# Each setting says: type, range, unit; and what a reload (SIGHUP) does with a change:
#   live              at once
#   next association  from the next association on
#   restart           only a restart applies it
# A line that begins with "#name =" shows a default; take the # away to change it.
"""

RULES = """\
# Rules are tried in order; every rule that matches adds its destinations, and a destination is served once.
# `when` is a table; all that it says must hold. Its keys:
#   attribute keywords (Modality), tags ("0008,0060"), private tags ("0009,1001"), or by private creator
#   ("0009,xx01,CREATOR"); calling_ae_title, called_ae_title, peer_address (address or CIDR network),
#   sop_class and transfer_syntax (UID or name).
# Its values:
#   literal "CT" or 5, pattern "*KNEE*" (* any characters, ? one), list ["CT", "MR"] (any of them), or a table
#   with regex (RE2, found anywhere in the value), ge, gt, le, lt, not, exists; all that are given must hold.
# any = [tables], all = [tables] and not = table combine.
# A missing attribute matches nothing but { exists = false } and what not turns around. exists asks for a
# value: an empty element has none. Of several values one must match. Text is compared with its case.
#
#   when = { Modality = ["CT", "PT"], StudyDescription = "*CHEST*" }
#   when = { SliceThickness = { ge = 0.5, lt = 3 }, PatientID = { exists = true } }
#   when = { any = [{ calling_ae_title = "CT*" }, { peer_address = "10.1.0.0/16" }] }
#   when = { not = { StationName = { regex = '^TEST[0-9]+$' } } }
"""

# What the example shows where a setting has no default, and where a name is chosen.
EXAMPLE_NAMES = {
    "sources.NAME": "sources.CT_ROOM",
    "destinations.NAME": "destinations.PACS",
    "destinations.NAME.tls": "destinations.PACS.tls",
    "rules[]": "[rules]",
}
EXAMPLE_VALUES: dict[str, Any] = {
    "sources.NAME.calling_ae_titles": ["CT1", "CT2"],
    "listener.tls.certificate": "/etc/dicom-router/tls/router.crt",
    "listener.tls.key": "/etc/dicom-router/tls/router.key",
    "listener.tls.ca": "/etc/dicom-router/tls/ca.crt",
    "destinations.NAME.tls.ca": "/etc/dicom-router/tls/ca.crt",
    "destinations.NAME.tls.certificate": "/etc/dicom-router/tls/router.crt",
    "destinations.NAME.tls.key": "/etc/dicom-router/tls/router.key",
    "destinations.NAME.tls.name": "pacs.example",
    "destinations.NAME.ae_title": "PACS",
    "destinations.NAME.host": "127.0.0.1",
    "destinations.NAME.port": 11113,
    "rules[].name": "ct",
    "rules[].when": {"Modality": "CT"},
    "rules[].to": ["PACS"],
}


def example_text() -> str:
    """Return the whole example configuration."""
    parts = [HEAD]
    settings = list(describe())
    for table, model in tables().items():
        parts.append("\n" + (RULES if table == "rules[]" else _comment(model.__doc__ or "")))
        parts.append(f"{_mark(table)}[{EXAMPLE_NAMES.get(table, table)}]\n")
        parts += [_entry(setting) for setting in settings if setting.table == table]
    return "".join(parts)


def toml_value(value: Any) -> str:
    """Write a plain value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{key} = {toml_value(one)}" for key, one in value.items()) + " }"
            if value
            else "{}"
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def _entry(setting: Setting) -> str:
    """Write the comment and the line of one setting."""
    facts = [
        setting.type,
        setting.range,
        setting.unit,
        setting.reload,
        "required" if setting.required else "",
    ]
    comment = _comment(setting.sentence) + _comment("(" + "; ".join(fact for fact in facts if fact) + ")")
    if setting.key in EXAMPLE_VALUES:
        return f"{comment}{_mark(setting.table)}{setting.name} = {toml_value(EXAMPLE_VALUES[setting.key])}\n"
    value = '"stored"' if setting.default is None else toml_value(setting.default)
    return f"{comment}#{setting.name} = {value}\n"


def _mark(table: str) -> str:
    """Return "#" for a table that is shown but not set: with a source listed, other senders are rejected;
    TLS needs files."""
    return "#" if table == "sources.NAME" or table.endswith(".tls") else ""


def _comment(text: str) -> str:
    paragraphs = " ".join(text.split())
    return textwrap.fill(paragraphs, WIDTH, initial_indent="# ", subsequent_indent="# ") + "\n"


if __name__ == "__main__":
    sys.stdout.write(example_text())
