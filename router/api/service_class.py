"""Service classes: which DIMSE services the SOP classes of each one use, and the statuses they answer.

What a service class does is written in router/services; here it is a name that programs give to register_uid,
and that says which handlers a request may go to.
"""

from __future__ import annotations

from typing import ClassVar

from router.standard import dimse_fields as fields
from router.standard.statuses import StatusTable, status_table

_FIND = frozenset({fields.C_FIND_RQ})
_QUERY = frozenset({fields.C_FIND_RQ, fields.C_GET_RQ, fields.C_MOVE_RQ})
_NORMALISED = frozenset(
    {
        fields.N_EVENT_REPORT_RQ,
        fields.N_GET_RQ,
        fields.N_SET_RQ,
        fields.N_ACTION_RQ,
        fields.N_CREATE_RQ,
        fields.N_DELETE_RQ,
    }
)


class ServiceClass:
    """A service class of which nothing is implemented: a request in its contexts aborts the association.

    service: name in router/standard; requests: Command Fields served; tables: status table for each of them
    that has another one than `service`.
    """

    service: ClassVar[str] = "general"
    requests: ClassVar[frozenset[int]] = frozenset()
    tables: ClassVar[dict[int, str]] = {}

    @classmethod
    def statuses_of(cls, command_field: int) -> StatusTable:
        """Return the statuses that the response to a request may have."""
        return status_table(cls.tables.get(command_field, cls.service))


class VerificationServiceClass(ServiceClass):
    """PS3.4 Annex A."""

    service = "verification"
    requests = frozenset({fields.C_ECHO_RQ})


class StorageServiceClass(ServiceClass):
    """PS3.4 Annex B."""

    service = "storage"
    requests = frozenset({fields.C_STORE_RQ})


class NonPatientObjectStorageServiceClass(StorageServiceClass):
    """PS3.4 Annex GG."""

    service = "non-patient-object-storage"


class QueryRetrieveServiceClass(ServiceClass):
    """PS3.4 Annex C."""

    service = "query-retrieve"
    requests = _QUERY
    tables: ClassVar[dict[int, str]] = {
        fields.C_FIND_RQ: "query-retrieve-find",
        fields.C_GET_RQ: "query-retrieve-get",
        fields.C_MOVE_RQ: "query-retrieve-move",
    }


class BasicWorklistManagementServiceClass(QueryRetrieveServiceClass):
    """PS3.4 Annex K."""

    service = "worklist"
    requests = _FIND


class ColorPaletteQueryRetrieveServiceClass(QueryRetrieveServiceClass):
    """PS3.4 Annex X."""

    service = "color-palette-query-retrieve"


class DefinedProcedureProtocolQueryRetrieveServiceClass(QueryRetrieveServiceClass):
    """PS3.4 Annex HH."""

    service = "defined-procedure-protocol-query-retrieve"


class HangingProtocolQueryRetrieveServiceClass(QueryRetrieveServiceClass):
    """PS3.4 Annex U."""

    service = "hanging-protocol-query-retrieve"


class ImplantTemplateQueryRetrieveServiceClass(QueryRetrieveServiceClass):
    """PS3.4 Annex BB."""

    service = "implant-template-query-retrieve"


class InventoryQueryRetrieveServiceClass(QueryRetrieveServiceClass):
    """PS3.4 Annex JJ."""

    service = "inventory-query-retrieve"


class ProtocolApprovalQueryRetrieveServiceClass(QueryRetrieveServiceClass):
    """PS3.4 Annex II."""

    service = "protocol-approval-query-retrieve"


class RelevantPatientInformationQueryServiceClass(ServiceClass):
    """PS3.4 Annex Q: one match at most."""

    service = "relevant-patient-information-query"
    requests = _FIND


class SubstanceAdministrationQueryServiceClass(ServiceClass):
    """PS3.4 Annex V."""

    service = "substance-administration-query"
    requests = _FIND


class ApplicationEventLoggingServiceClass(ServiceClass):
    """PS3.4 Annex P."""

    service = "application-event-logging"
    requests = frozenset({fields.N_ACTION_RQ})


class DisplaySystemManagementServiceClass(ServiceClass):
    """PS3.4 Annex EE."""

    service = "display-system-management"
    requests = frozenset({fields.N_GET_RQ})


class InstanceAvailabilityNotificationServiceClass(ServiceClass):
    """PS3.4 Annex R."""

    service = "instance-availability-notification"
    requests = frozenset({fields.N_CREATE_RQ})


class MediaCreationManagementServiceClass(ServiceClass):
    """PS3.4 Annex S."""

    service = "media-creation-management"
    requests = frozenset({fields.N_CREATE_RQ, fields.N_GET_RQ, fields.N_ACTION_RQ})


class PrintManagementServiceClass(ServiceClass):
    """PS3.4 Annex H."""

    service = "print-management"
    requests = _NORMALISED


class ProcedureStepServiceClass(ServiceClass):
    """PS3.4 Annex F."""

    service = "procedure-step"
    requests = frozenset({fields.N_CREATE_RQ, fields.N_EVENT_REPORT_RQ, fields.N_GET_RQ, fields.N_SET_RQ})


class RTMachineVerificationServiceClass(ServiceClass):
    """PS3.4 Annex DD."""

    service = "rt-machine-verification"
    requests = _NORMALISED


class StorageCommitmentServiceClass(ServiceClass):
    """PS3.4 Annex J."""

    service = "storage-commitment"
    requests = frozenset({fields.N_ACTION_RQ, fields.N_EVENT_REPORT_RQ})


class StorageManagementServiceClass(ServiceClass):
    """PS3.4 Annex KK."""

    service = "storage-management"
    requests = frozenset({fields.N_ACTION_RQ, fields.N_EVENT_REPORT_RQ})


class UnifiedProcedureStepServiceClass(ServiceClass):
    """PS3.4 Annex CC."""

    service = "unified-procedure-step"
    requests = frozenset({fields.C_FIND_RQ, *_NORMALISED} - {fields.N_DELETE_RQ})


def _leaves(base: type[ServiceClass]) -> list[type[ServiceClass]]:
    return [kind for child in base.__subclasses__() for kind in (child, *_leaves(child))]


SERVICE_CLASSES: dict[str, type[ServiceClass]] = {kind.service: kind for kind in _leaves(ServiceClass)}
"""Name of the service in router/standard -> service class."""
