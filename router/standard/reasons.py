"""Why an association ended or never began: numbers of A-ABORT and A-ASSOCIATE-RJ, and their words.

PS3.8 Table 9-21 (A-ASSOCIATE-RJ), Table 9-26 (A-ABORT), Table 9-18 (answer to a presentation context).
"""

from __future__ import annotations

ABORT_SOURCE_SERVICE_USER = 0
ABORT_SOURCE_SERVICE_PROVIDER = 2

ABORT_REASON_NOT_SPECIFIED = 0
ABORT_REASON_UNRECOGNISED_PDU = 1
ABORT_REASON_UNEXPECTED_PDU = 2
ABORT_REASON_UNRECOGNISED_PARAMETER = 4
ABORT_REASON_UNEXPECTED_PARAMETER = 5
ABORT_REASON_INVALID_PARAMETER = 6

ABORT_SOURCES: dict[int, str] = {
    ABORT_SOURCE_SERVICE_USER: "DICOM UL service-user",
    ABORT_SOURCE_SERVICE_PROVIDER: "DICOM UL service-provider",
}
ABORT_REASONS: dict[int, str] = {
    ABORT_REASON_NOT_SPECIFIED: "reason-not-specified",
    ABORT_REASON_UNRECOGNISED_PDU: "unrecognised-PDU",
    ABORT_REASON_UNEXPECTED_PDU: "unexpected-PDU",
    ABORT_REASON_UNRECOGNISED_PARAMETER: "unrecognised-PDU-parameter",
    ABORT_REASON_UNEXPECTED_PARAMETER: "unexpected-PDU-parameter",
    ABORT_REASON_INVALID_PARAMETER: "invalid-PDU-parameter-value",
}

REJECTED_PERMANENT = 1
REJECTED_TRANSIENT = 2

REJECT_SOURCE_SERVICE_USER = 1
REJECT_SOURCE_SERVICE_PROVIDER_ACSE = 2
REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION = 3

# Reasons of source 1, the service-user.
REJECT_NO_REASON_GIVEN = 1
REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
REJECT_CALLING_AE_TITLE_NOT_RECOGNISED = 3
REJECT_CALLED_AE_TITLE_NOT_RECOGNISED = 7
# Reasons of source 2, the ACSE related service-provider (1 is no-reason-given there too).
REJECT_PROTOCOL_VERSION_NOT_SUPPORTED = 2
# Reasons of source 3, the presentation related service-provider.
REJECT_TEMPORARY_CONGESTION = 1
REJECT_LOCAL_LIMIT_EXCEEDED = 2

REJECT_RESULTS: dict[int, str] = {
    REJECTED_PERMANENT: "rejected-permanent",
    REJECTED_TRANSIENT: "rejected-transient",
}
REJECT_SOURCES: dict[int, str] = {
    REJECT_SOURCE_SERVICE_USER: "DICOM UL service-user",
    REJECT_SOURCE_SERVICE_PROVIDER_ACSE: "DICOM UL service-provider (ACSE related function)",
    REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION: "DICOM UL service-provider (presentation related function)",
}
REJECT_REASONS: dict[int, dict[int, str]] = {
    REJECT_SOURCE_SERVICE_USER: {
        REJECT_NO_REASON_GIVEN: "no-reason-given",
        REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: "application-context-name-not-supported",
        REJECT_CALLING_AE_TITLE_NOT_RECOGNISED: "calling-AE-title-not-recognised",
        REJECT_CALLED_AE_TITLE_NOT_RECOGNISED: "called-AE-title-not-recognised",
    },
    REJECT_SOURCE_SERVICE_PROVIDER_ACSE: {
        REJECT_NO_REASON_GIVEN: "no-reason-given",
        REJECT_PROTOCOL_VERSION_NOT_SUPPORTED: "protocol-version-not-supported",
    },
    REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION: {
        REJECT_TEMPORARY_CONGESTION: "temporary-congestion",
        REJECT_LOCAL_LIMIT_EXCEEDED: "local-limit-exceeded",
    },
}
"""Reject source -> reason -> text; reasons are numbered anew for each source."""

CONTEXT_ACCEPTED = 0
CONTEXT_USER_REJECTED = 1
CONTEXT_NO_REASON = 2
CONTEXT_ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
CONTEXT_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

CONTEXT_RESULTS: dict[int, str] = {
    CONTEXT_ACCEPTED: "acceptance",
    CONTEXT_USER_REJECTED: "user-rejection",
    CONTEXT_NO_REASON: "no-reason (provider rejection)",
    CONTEXT_ABSTRACT_SYNTAX_NOT_SUPPORTED: "abstract-syntax-not-supported (provider rejection)",
    CONTEXT_TRANSFER_SYNTAXES_NOT_SUPPORTED: "transfer-syntaxes-not-supported (provider rejection)",
}
"""Answers to one proposed presentation context (PS3.8 Table 9-18)."""


def describe_abort(source: int, reason: int) -> str:
    """Return the words of one A-ABORT; a number outside Table 9-26 is shown as `reserved (n)`.

    The reason has a meaning only when the source is the service-provider, so it is left out otherwise.
    """
    who = _text(ABORT_SOURCES, source)
    if source == ABORT_SOURCE_SERVICE_USER:
        return f"aborted by {who}"
    return f"aborted by {who}: {_text(ABORT_REASONS, reason)}"


def describe_rejection(result: int, source: int, reason: int) -> str:
    """Return the words of one A-ASSOCIATE-RJ; a number outside Table 9-21 is shown as `reserved (n)`."""
    why = _text(REJECT_REASONS.get(source, {}), reason)
    return f"{_text(REJECT_RESULTS, result)} by {_text(REJECT_SOURCES, source)}: {why}"


def _text(table: dict[int, str], value: int) -> str:
    return table.get(value, f"reserved ({value})")
