"""Presentation contexts as programs see them, the ready-made lists of them, and their negotiation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from router._globals import DEFAULT_TRANSFER_SYNTAXES
from router.api.sop_class_lists import storage_short_list, uids_of
from router.api.utils import as_uid, check_uid

if TYPE_CHECKING:
    from pydicom.uid import UID

    from router.api.context_negotiation import (  # noqa: F401
        SCP_SCU_ROLES,
        negotiate_as_acceptor,
        negotiate_as_requestor,
        negotiate_unrestricted,
    )
    from router.api.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

STATUS_TEXTS = {
    None: "Pending",
    0x00: "Accepted",
    0x01: "User Rejected",
    0x02: "Provider Rejected",
    0x03: "Abstract Syntax Not Supported",
    0x04: "Transfer Syntax(es) Not Supported",
}


class PresentationContextTuple(NamedTuple):
    """One accepted presentation context, as handlers see it."""

    context_id: int
    abstract_syntax: UID
    transfer_syntax: UID


class PresentationContext:
    """What may be sent (abstract syntax) and how (transfer syntaxes); PS3.8 section 7.1.1.13.

    result: None while pending, else that of PS3.8 Table 9-18. as_scu, as_scp: what this side may be.
    """

    def __init__(self) -> None:
        self._context_id: int | None = None
        self._abstract_syntax: str | None = None
        self._transfer_syntax: list[str] = []
        self._scu_role: bool | None = None
        self._scp_role: bool | None = None
        self.result: int | None = None
        self._as_scu: bool | None = None
        self._as_scp: bool | None = None

    @property
    def abstract_syntax(self) -> UID | None:
        """The abstract syntax, usually a SOP class."""
        return None if self._abstract_syntax is None else as_uid(self._abstract_syntax)

    @abstract_syntax.setter
    def abstract_syntax(self, uid: str | bytes) -> None:
        self._abstract_syntax = check_uid(uid, "abstract_syntax", False, False)

    @property
    def abstract_uid(self) -> str:
        """The abstract syntax as plain text; empty if there is none."""
        return self._abstract_syntax or ""

    @property
    def transfer_syntax(self) -> list[UID]:
        """The transfer syntaxes, in order of preference."""
        return [as_uid(uid) for uid in self._transfer_syntax]

    @transfer_syntax.setter
    def transfer_syntax(self, syntaxes: list[str] | list[UID] | list[bytes]) -> None:
        if not isinstance(syntaxes, list):
            raise TypeError("'transfer_syntax' must be a list of str, bytes or UID")
        self._transfer_syntax = []
        for syntax in syntaxes:
            self.add_transfer_syntax(syntax)

    @property
    def transfer_uids(self) -> tuple[str, ...]:
        """The transfer syntaxes as plain text."""
        return tuple(self._transfer_syntax)

    def add_transfer_syntax(self, syntax: str | bytes | None) -> None:
        """Add a transfer syntax; one that is there already or is None is left out."""
        uid = check_uid(syntax, "transfer_syntax", False)
        if uid is not None and uid not in self._transfer_syntax:
            self._transfer_syntax.append(uid)

    @property
    def context_id(self) -> int | None:
        """The presentation context ID: odd, 1 to 255."""
        return self._context_id

    @context_id.setter
    def context_id(self, value: int | None) -> None:
        if value is not None and not (1 <= value <= 255 and value % 2):
            raise ValueError("'context_id' must be an odd integer between 1 and 255, inclusive")
        self._context_id = value

    @property
    def scu_role(self) -> bool | None:
        """As acceptor: whether the requestor may be SCU; None: as without role selection."""
        return self._scu_role

    @scu_role.setter
    def scu_role(self, value: bool | None) -> None:
        self._scu_role = _check_role(value, "scu_role")

    @property
    def scp_role(self) -> bool | None:
        """As acceptor: whether the requestor may be SCP; None: as without role selection."""
        return self._scp_role

    @scp_role.setter
    def scp_role(self, value: bool | None) -> None:
        self._scp_role = _check_role(value, "scp_role")

    @property
    def as_scu(self) -> bool | None:
        """Whether this side may act as SCU on the context, once negotiated."""
        return self._as_scu

    @property
    def as_scp(self) -> bool | None:
        """Whether this side may act as SCP on the context, once negotiated."""
        return self._as_scp

    @property
    def as_tuple(self) -> PresentationContextTuple:
        """The context with its first transfer syntax. Raises ValueError if something is missing."""
        if self._context_id is None or self._abstract_syntax is None or not self._transfer_syntax:
            raise ValueError("a presentation context needs an ID, an abstract and a transfer syntax")
        return PresentationContextTuple(
            self._context_id, as_uid(self._abstract_syntax), as_uid(self._transfer_syntax[0])
        )

    @property
    def status(self) -> str:
        """The result in words."""
        return STATUS_TEXTS.get(self.result, "Unknown")

    def copy(self) -> PresentationContext:
        """Return an independent copy."""
        other = PresentationContext()
        other.__dict__.update(self.__dict__)
        other._transfer_syntax = list(self._transfer_syntax)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> PresentationContext:
        return self.copy()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PresentationContext):
            return NotImplemented
        return other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((self._abstract_syntax, self._context_id))

    def __repr__(self) -> str:
        return name_of_uid(self.abstract_uid)

    def __str__(self) -> str:
        lines = [] if self._context_id is None else [f"ID: {self._context_id}"]
        if self._abstract_syntax is not None:
            lines.append(f"Abstract Syntax: {name_of_uid(self._abstract_syntax)}")
        lines.append("Transfer Syntax(es):")
        lines += [f"    ={name_of_uid(uid)}" for uid in self._transfer_syntax]
        if self.result is not None:
            lines.append(f"Result: {self.status}")
        if self._as_scu is not None and self._as_scp is not None:
            lines.append(f"Role: {describe_role(self._as_scu, self._as_scp)}")
        return "\n".join(lines)


def name_of_uid(uid: str) -> str:
    """Return the name of a UID, or the UID itself."""
    return as_uid(uid).name if uid.startswith("1.2.840.10008.") else uid


def describe_role(as_scu: bool, as_scp: bool) -> str:
    """Say in words what one side may be."""
    return {
        (True, False): "SCU only",
        (False, True): "SCP only",
        (True, True): "SCU and SCP",
        (False, False): "(no SCU or SCP role)",
    }[as_scu, as_scp]


def _check_role(value: object, name: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"'{name}' must be a bool or None, not '{type(value).__name__}'")
    return value


def build_context(
    abstract_syntax: str | UID, transfer_syntax: str | UID | Sequence[str | UID] | None = None
) -> PresentationContext:
    """Return a presentation context; transfer_syntax: one or several, by default the four uncompressed."""
    if transfer_syntax is None:
        transfer_syntax = DEFAULT_TRANSFER_SYNTAXES
    if isinstance(transfer_syntax, str):
        transfer_syntax = [transfer_syntax]
    context = PresentationContext()
    context.abstract_syntax = abstract_syntax
    context.transfer_syntax = list(transfer_syntax)
    return context


def build_role(
    uid: str | UID, scu_role: bool = False, scp_role: bool = False
) -> SCP_SCU_RoleSelectionNegotiation:
    """Return a role selection item: which roles the requestor proposes to take for one SOP class."""
    from router.api.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = uid
    role.scu_role = scu_role
    role.scp_role = scp_role
    return role


def _contexts(uids: Sequence[str]) -> list[PresentationContext]:
    return [build_context(uid) for uid in uids]


AllStoragePresentationContexts = _contexts(uids_of("storage"))
StoragePresentationContexts = _contexts(storage_short_list())
ApplicationEventLoggingPresentationContexts = _contexts(uids_of("application-event-logging"))
BasicWorklistManagementPresentationContexts = _contexts(uids_of("worklist"))
ColorPalettePresentationContexts = _contexts(uids_of("color-palette-query-retrieve"))
DefinedProcedureProtocolPresentationContexts = _contexts(uids_of("defined-procedure-protocol-query-retrieve"))
DisplaySystemPresentationContexts = _contexts(uids_of("display-system-management"))
HangingProtocolPresentationContexts = _contexts(uids_of("hanging-protocol-query-retrieve"))
ImplantTemplatePresentationContexts = _contexts(uids_of("implant-template-query-retrieve"))
InstanceAvailabilityPresentationContexts = _contexts(uids_of("instance-availability-notification"))
MediaCreationManagementPresentationContexts = _contexts(uids_of("media-creation-management"))
MediaStoragePresentationContexts = _contexts(uids_of("media-storage"))
NonPatientObjectPresentationContexts = _contexts(uids_of("non-patient-object-storage"))
PrintManagementPresentationContexts = _contexts(uids_of("print-management"))
ProcedureStepPresentationContexts = _contexts(uids_of("procedure-step"))
ModalityPerformedPresentationContexts = ProcedureStepPresentationContexts
ProtocolApprovalPresentationContexts = _contexts(uids_of("protocol-approval-query-retrieve"))
QueryRetrievePresentationContexts = _contexts(uids_of("query-retrieve"))
RelevantPatientInformationPresentationContexts = _contexts(uids_of("relevant-patient-information-query"))
RTMachineVerificationPresentationContexts = _contexts(uids_of("rt-machine-verification"))
StorageCommitmentPresentationContexts = _contexts(uids_of("storage-commitment"))
SubstanceAdministrationPresentationContexts = _contexts(uids_of("substance-administration-query"))
UnifiedProcedurePresentationContexts = _contexts(uids_of("unified-procedure-step"))
VerificationPresentationContexts = _contexts(uids_of("verification"))

_NEGOTIATION = frozenset(
    {"SCP_SCU_ROLES", "negotiate_as_acceptor", "negotiate_as_requestor", "negotiate_unrestricted"}
)


def __getattr__(name: str) -> Any:
    """Fetch the negotiation functions when they are asked for: their module needs this one first."""
    if name not in _NEGOTIATION:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from router.api import context_negotiation

    return getattr(context_negotiation, name)


def require_contexts(contexts: Any) -> None:
    """Raise ValueError unless this is a list of presentation contexts."""
    if not isinstance(contexts, list) or not all(isinstance(c, PresentationContext) for c in contexts):
        raise ValueError("'contexts' must be a list of PresentationContext items")
