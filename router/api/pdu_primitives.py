"""The upper layer's service primitives as programs see them: A-ASSOCIATE, A-RELEASE, A-ABORT, A-P-ABORT.

They are views of what was sent and received, made from the wire's values; with the negotiation items, which
programs import from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router._globals import APPLICATION_CONTEXT_NAME
from router.api.negotiation_items import (
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    NegotiationItem,
    SCP_SCU_RoleSelectionNegotiation,
    ServiceParameter,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
    items_of,
)
from router.api.presentation import PresentationContext
from router.api.utils import as_uid, check_uid, set_ae
from router.standard.reasons import ABORT_REASONS
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ, ContextResult, ProposedContext

if TYPE_CHECKING:
    from pydicom.uid import UID

RESULT_TEXTS = {0: "Accepted", 1: "Rejected Permanent", 2: "Rejected Transient"}
SOURCE_TEXTS = {
    1: "Service User",
    2: "Service Provider (ACSE)",
    3: "Service Provider (Presentation)",
}
REASON_TEXTS = {
    1: {
        1: "No reason given",
        2: "Application context name not supported",
        3: "Calling AE title not recognised",
        7: "Called AE title not recognised",
    },
    2: {1: "No reason given", 2: "Protocol version not supported"},
    3: {1: "Temporary congestion", 2: "Local limit exceeded"},
}
NO_TEXT = "(no value available)"


def _one_of(value: Any, allowed: tuple[Any, ...], name: str) -> Any:
    if value not in allowed:
        raise ValueError(f"'{name}' must be one of {', '.join(map(repr, allowed))}")
    return value


class A_ASSOCIATE:
    """A-ASSOCIATE request, indication, response or confirmation (PS3.8 section 7.1).

    result, result_source, diagnostic: None in a request, else those of PS3.8 Table 9-21 (result 0: accepted).
    """

    mode = "normal"
    presentation_requirements = "Presentation Kernel"
    session_requirements = ""

    def __init__(self) -> None:
        self._application_context_name: str | None = None
        self._calling_ae_title = "DEFAULT"
        self._called_ae_title = "DEFAULT"
        self._result: int | None = None
        self._result_source: int | None = None
        self._diagnostic: int | None = None
        self.user_information: list[ServiceParameter] = []
        self.calling_presentation_address: tuple[str, int] | None = None
        self.called_presentation_address: tuple[str, int] | None = None
        self.presentation_context_definition_list: list[PresentationContext] = []
        self.presentation_context_definition_results_list: list[PresentationContext] = []

    @property
    def application_context_name(self) -> UID | None:
        """The application context; DICOM has but one."""
        name = self._application_context_name
        return None if name is None else as_uid(name)

    @application_context_name.setter
    def application_context_name(self, value: str | bytes | None) -> None:
        self._application_context_name = check_uid(value, "application_context_name")

    @property
    def calling_ae_title(self) -> str:
        """Who asks."""
        return self._calling_ae_title

    @calling_ae_title.setter
    def calling_ae_title(self, value: str) -> None:
        self._calling_ae_title = set_ae(value, "calling_ae_title", False, False) or ""

    @property
    def called_ae_title(self) -> str:
        """Who is asked."""
        return self._called_ae_title

    @called_ae_title.setter
    def called_ae_title(self, value: str) -> None:
        self._called_ae_title = set_ae(value, "called_ae_title", False, False) or ""

    @property
    def responding_ae_title(self) -> str:
        """Who answers: the called AE title."""
        return self._called_ae_title

    @property
    def responding_presentation_address(self) -> tuple[str, int] | None:
        """Where the answer comes from: the called presentation address."""
        return self.called_presentation_address

    @property
    def result(self) -> int | None:
        """0 accepted, 1 rejected-permanent, 2 rejected-transient."""
        return self._result

    @result.setter
    def result(self, value: int | None) -> None:
        self._result = _one_of(value, (None, 0, 1, 2), "result")

    @property
    def result_source(self) -> int | None:
        """1 service-user, 2 service-provider (ACSE), 3 service-provider (presentation)."""
        return self._result_source

    @result_source.setter
    def result_source(self, value: int | None) -> None:
        self._result_source = _one_of(value, (None, 1, 2, 3), "result_source")

    @property
    def diagnostic(self) -> int | None:
        """Why, numbered anew for each source."""
        return self._diagnostic

    @diagnostic.setter
    def diagnostic(self, value: int | None) -> None:
        self._diagnostic = _one_of(value, (None, 1, 2, 3, 7), "diagnostic")

    @property
    def result_str(self) -> str:
        """The result in words."""
        return NO_TEXT if self._result is None else RESULT_TEXTS.get(self._result, NO_TEXT)

    @property
    def source_str(self) -> str:
        """The source of the result in words."""
        return NO_TEXT if self._result_source is None else SOURCE_TEXTS.get(self._result_source, NO_TEXT)

    @property
    def reason_str(self) -> str:
        """The diagnostic in words."""
        return REASON_TEXTS.get(self._result_source or 0, {}).get(self._diagnostic or 0, NO_TEXT)

    @property
    def maximum_length_received(self) -> int | None:
        """The maximum length among the user information."""
        for item in self.user_information:
            if isinstance(item, MaximumLengthNotification):
                return item.maximum_length_received
        return None

    @property
    def implementation_class_uid(self) -> UID | None:
        """The implementation class UID among the user information."""
        for item in self.user_information:
            if isinstance(item, ImplementationClassUIDNotification):
                return item.implementation_class_uid
        return None


class A_RELEASE:
    """A-RELEASE (PS3.8 section 7.2); result: None in a request, "affirmative" in a response."""

    reason = "normal"

    def __init__(self) -> None:
        self._result: str | None = None

    @property
    def result(self) -> str | None:
        """None or "affirmative"."""
        return self._result

    @result.setter
    def result(self, value: str | None) -> None:
        self._result = _one_of(value, (None, "affirmative"), "result")


class A_ABORT:
    """A-ABORT by one of the users (PS3.8 section 7.3)."""

    def __init__(self) -> None:
        self._abort_source: int | None = None

    @property
    def abort_source(self) -> int | None:
        """0 service-user, 2 service-provider."""
        return self._abort_source

    @abort_source.setter
    def abort_source(self, value: int) -> None:
        self._abort_source = _one_of(value, (0, 1, 2), "abort_source")


class A_P_ABORT:
    """A-P-ABORT by the service provider (PS3.8 section 7.4)."""

    def __init__(self) -> None:
        self._provider_reason: int | None = None

    @property
    def provider_reason(self) -> int | None:
        """The reason of PS3.8 Table 9-26."""
        return self._provider_reason

    @provider_reason.setter
    def provider_reason(self, value: int) -> None:
        self._provider_reason = _one_of(value, tuple(r for r in ABORT_REASONS if r != 3), "provider_reason")


class P_DATA:
    """P-DATA (PS3.8 section 7.6). presentation_data_value_list: [context ID, fragment with its header]."""

    def __init__(self) -> None:
        self._values: list[list[Any]] = []

    @property
    def presentation_data_value_list(self) -> list[list[Any]]:
        """The presentation data values."""
        return self._values

    @presentation_data_value_list.setter
    def presentation_data_value_list(self, values: list[list[Any]]) -> None:
        if not isinstance(values, list) or not all(
            isinstance(value, list)
            and len(value) == 2
            and isinstance(value[0], int)
            and isinstance(value[1], bytes)
            for value in values
        ):
            raise TypeError("'presentation_data_value_list' must be a list of [int, bytes]")
        self._values = values


def associate_request(rq: AssociateRQ) -> A_ASSOCIATE:
    """Return the primitive of an A-ASSOCIATE-RQ."""
    primitive = A_ASSOCIATE()
    primitive._application_context_name = rq.application_context_name
    primitive._calling_ae_title = rq.calling_ae_title
    primitive._called_ae_title = rq.called_ae_title
    primitive.user_information = items_of(rq.user_information)
    primitive.presentation_context_definition_list = [
        proposed_context(proposed) for proposed in rq.presentation_contexts
    ]
    return primitive


def associate_response(rq: AssociateRQ, answer: AssociateAC | AssociateRJ) -> A_ASSOCIATE:
    """Return the primitive of the answer to a request."""
    primitive = A_ASSOCIATE()
    primitive._application_context_name = APPLICATION_CONTEXT_NAME
    primitive._calling_ae_title = rq.calling_ae_title
    primitive._called_ae_title = rq.called_ae_title
    if isinstance(answer, AssociateAC):
        primitive._result, primitive._result_source = 0, 1
        primitive.user_information = items_of(answer.user_information)
        primitive.presentation_context_definition_results_list = [
            answered_context(result) for result in answer.presentation_contexts
        ]
    else:
        primitive._result, primitive._result_source = answer.result, answer.source
        primitive._diagnostic = answer.reason
    return primitive


def proposed_context(proposed: ProposedContext) -> PresentationContext:
    """Return a proposed context as programs see it."""
    context = PresentationContext()
    context._context_id = proposed.context_id
    context._abstract_syntax = proposed.abstract_syntax
    context._transfer_syntax = list(proposed.transfer_syntaxes)
    return context


def answered_context(answer: ContextResult) -> PresentationContext:
    """Return the answer to a proposed context as programs see it."""
    context = PresentationContext()
    context._context_id = answer.context_id
    context.result = answer.result
    context._transfer_syntax = [answer.transfer_syntax] if answer.transfer_syntax else []
    return context


__all__ = [
    "A_ABORT",
    "A_ASSOCIATE",
    "A_P_ABORT",
    "A_RELEASE",
    "P_DATA",
    "AsynchronousOperationsWindowNegotiation",
    "ImplementationClassUIDNotification",
    "ImplementationVersionNameNotification",
    "MaximumLengthNotification",
    "NegotiationItem",
    "SCP_SCU_RoleSelectionNegotiation",
    "SOPClassCommonExtendedNegotiation",
    "SOPClassExtendedNegotiation",
    "ServiceParameter",
    "UserIdentityNegotiation",
]
