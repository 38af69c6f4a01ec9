"""Whether a text may be an AE title or a UID (PS3.5 section 6.2 and chapter 9)."""

from __future__ import annotations

from router.standard.uids import UID_MAX

AE_TITLE_MAX = 16


def validate_ae(value: str) -> tuple[bool, str]:
    """Return whether the value may be an AE title, and why not."""
    if len(value) > AE_TITLE_MAX:
        return False, f"must not exceed {AE_TITLE_MAX} characters"
    if not value.isascii():
        return False, "must only contain ASCII characters"
    if not value.isprintable() or "\\" in value:
        return False, "must not contain control characters or backslashes"
    return True, ""


def validate_ui(value: str) -> tuple[bool, str]:
    """Return whether the value may be a UID, and why not; strictly if _config.ENFORCE_UID_CONFORMANCE says
    so."""
    from router import _config

    if len(value) > UID_MAX:
        return False, f"must not exceed {UID_MAX} characters"
    if _config.ENFORCE_UID_CONFORMANCE and not is_strict_uid(value):
        return False, "is not a UID as PS3.5 section 9.1 defines it"
    return True, ""


def is_strict_uid(value: str) -> bool:
    """Whether the value follows PS3.5 section 9.1: digits and dots, no component with a leading zero."""
    components = value.split(".")
    return len(value) <= UID_MAX and all(
        component.isascii() and component.isdigit() and (component == "0" or component[0] != "0")
        for component in components
    )
