"""Every name, signature and default that programs written for pynetdicom rely on, as the inventory has them.

What the names do is tested beside: negotiation, services, events, one file each.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

import router
from router import AE, _config, evt
from router.association import Association, ServiceUser
from router.transport import AssociationServer, ThreadedAssociationServer
from tests.api.conftest import Pair
from tests.support.datasets import VERIFICATION

LISTS = {
    "AllStorage": 170, "Storage": 120, "QueryRetrieve": 13, "Verification": 1, "BasicWorklistManagement": 1,
    "ApplicationEventLogging": 2, "ColorPalette": 3, "DefinedProcedureProtocol": 3, "DisplaySystem": 1,
    "HangingProtocol": 3, "ImplantTemplate": 9, "InstanceAvailability": 1, "ProcedureStep": 3,
    "ModalityPerformed": 3, "ProtocolApproval": 3, "RelevantPatientInformation": 3,
    "RTMachineVerification": 2, "StorageCommitment": 1, "SubstanceAdministration": 2, "UnifiedProcedure": 5,
    "MediaCreationManagement": 1, "MediaStorage": 1, "NonPatientObject": 9, "PrintManagement": 11,
}  # fmt: skip
OTHER_NAMES = """
__version__ PYNETDICOM_UID_PREFIX PYNETDICOM_IMPLEMENTATION_VERSION PYNETDICOM_IMPLEMENTATION_UID evt AE
ALL_TRANSFER_SYNTAXES DEFAULT_TRANSFER_SYNTAXES build_context build_role register_uid debug_logger
""".split()  # noqa: SIM905


def test_the_package_has_its_36_names() -> None:
    assert set(router.__all__) == {*OTHER_NAMES, *(f"{kind}PresentationContexts" for kind in LISTS)}
    assert len(router.__all__) == 36
    assert router.evt is importlib.import_module("router.events")
    assert AE is importlib.import_module("router.ae").ApplicationEntity
    assert router.Association is Association
    assert len(router.PYNETDICOM_IMPLEMENTATION_VERSION) <= 16
    assert router.PYNETDICOM_IMPLEMENTATION_UID.startswith(router.PYNETDICOM_UID_PREFIX)
    assert len(router.ALL_TRANSFER_SYNTAXES) == 45
    ending = ["2", "2.1", "2.1.99", "2.2"]
    assert [f"1.2.840.10008.1.{end}" for end in ending] == list(router.DEFAULT_TRANSFER_SYNTAXES)


@pytest.mark.parametrize("kind", LISTS)
def test_each_list_of_contexts_has_its_length_order_and_syntaxes(kind: str) -> None:
    contexts = getattr(router, f"{kind}PresentationContexts")
    uids = [str(context.abstract_syntax) for context in contexts]
    assert (len(uids), uids) == (LISTS[kind], sorted(uids))
    assert all(
        list(map(str, context.transfer_syntax)) == router.DEFAULT_TRANSFER_SYNTAXES for context in contexts
    )


SIGNATURES = """
router.AE(ae_title='PYNETDICOM')
router.AE.add_requested_context(self, abstract_syntax, transfer_syntax=None)
router.AE.add_supported_context(self, abstract_syntax, transfer_syntax=None, scu_role=None, scp_role=None)
router.AE.remove_requested_context(self, abstract_syntax, transfer_syntax=None)
router.AE.remove_supported_context(self, abstract_syntax, transfer_syntax=None)
router.AE.associate(self, addr, port, contexts=None, ae_title='ANY-SCP', max_pdu=16382, ext_neg=None, bind_address=None, tls_args=None, evt_handlers=None)
router.AE.make_server(self, address, ae_title=None, contexts=None, ssl_context=None, evt_handlers=None, server_class=None, **kwargs)
router.AE.start_server(self, address, block=True, ssl_context=None, evt_handlers=None, ae_title=None, contexts=None)
router.AE.shutdown(self)
router.Association.release(self)
router.Association.abort(self, block=True)
router.Association.bind(self, event, handler, args=None)
router.Association.unbind(self, event, handler)
router.Association.get_events(self)
router.Association.get_handlers(self, event)
router.Association.send_c_echo(self, msg_id=1)
router.Association.send_c_store(self, dataset, msg_id=1, priority=2, originator_aet=None, originator_id=None)
router.Association.send_c_find(self, dataset, query_model, msg_id=1, priority=2)
router.Association.send_c_get(self, dataset, query_model, msg_id=1, priority=2)
router.Association.send_c_move(self, dataset, move_aet, query_model, msg_id=1, priority=2)
router.Association.send_c_cancel(self, msg_id, context_id=None, query_model=None)
router.Association.send_n_event_report(self, dataset, event_type, class_uid, instance_uid, msg_id=1, meta_uid=None)
router.Association.send_n_get(self, identifier_list, class_uid, instance_uid, msg_id=1, meta_uid=None)
router.Association.send_n_set(self, dataset, class_uid, instance_uid, msg_id=1, meta_uid=None)
router.Association.send_n_action(self, dataset, action_type, class_uid, instance_uid, msg_id=1, meta_uid=None)
router.Association.send_n_create(self, dataset, class_uid, instance_uid=None, msg_id=1, meta_uid=None)
router.Association.send_n_delete(self, class_uid, instance_uid, msg_id=1, meta_uid=None)
router.association.ServiceUser.get_contexts(self, cx_type)
router.association.ServiceUser.add_negotiation_item(self, item)
router.association.ServiceUser.remove_negotiation_item(self, item)
router.association.ServiceUser.reset_negotiation_items(self)
router.transport.AssociationServer.bind(self, event, handler, args=None)
router.transport.AssociationServer.unbind(self, event, handler)
router.transport.AssociationServer.get_events(self)
router.transport.AssociationServer.get_handlers(self, event)
router.transport.AssociationServer.shutdown(self)
router.transport.AssociationServer.server_close(self)
router.transport.AssociationServer.serve_forever(self, poll_interval=0.5)
router.events.trigger(assoc, event, attrs=None)
router.events.get_default_handler(event)
router.events.Event.encoded_dataset(self, include_meta=True)
router.build_context(abstract_syntax, transfer_syntax=None)
router.build_role(uid, scu_role=False, scp_role=False)
router.register_uid(uid, keyword, service_class, dimse_msg_type='')
router.debug_logger()
router.presentation.negotiate_as_acceptor(rq_contexts, ac_contexts, roles=None)
router.presentation.negotiate_as_requestor(rq_contexts, ac_contexts, roles=None)
router.presentation.negotiate_unrestricted(rq_contexts, ac_contexts, roles=None)
router.sop_class.uid_to_sop_class(uid)
router.sop_class.uid_to_service_class(uid)
router.status.code_to_category(code)
router.status.code_to_status(code)
router.status.Status.add(name, code)
router.utils.decode_bytes(encoded_value)
router.utils.validate_uid(uid)
router.utils.make_target(target_fn)
router.utils.set_timer_resolution(resolution)
router.dsutils.encode(ds, is_implicit_vr, is_little_endian, deflated=False)
router.dsutils.decode(bytestring, is_implicit_vr, is_little_endian, deflated=False)
router.dsutils.encode_file_meta(file_meta)
router.dsutils.pretty_element(elem)
router.dsutils.split_dataset(path)
router._validators.validate_ae(value)
router._validators.validate_ui(value)
"""  # noqa: E501 - one signature a line


@pytest.mark.parametrize("told", SIGNATURES.strip().splitlines())
def test_signatures_are_those_of_the_inventory(told: str) -> None:
    name, _, parameters = told.partition("(")
    found = resolve(name)
    kept = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(found).parameters.values()
    ]
    signature = inspect.Signature(kept)
    assert str(signature) == f"({parameters}"


def resolve(name: str) -> Any:
    """Return what a dotted name means, modules along the way included."""
    first, *parts = name.split(".")
    found: Any = importlib.import_module(first)
    for part in parts:
        if not hasattr(found, part):
            importlib.import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)
    return found


AE_DEFAULTS = {
    "ae_title": "PYNETDICOM", "acse_timeout": 30, "dimse_timeout": 30, "network_timeout": 60,
    "connection_timeout": None, "maximum_associations": 10, "maximum_pdu_size": 16382,
    "require_called_aet": False, "require_calling_aet": [], "requested_contexts": [],
    "supported_contexts": [], "active_associations": [],
}  # fmt: skip


@pytest.mark.parametrize("name", AE_DEFAULTS)
def test_an_ae_has_its_defaults(name: str) -> None:
    assert getattr(AE(), name) == AE_DEFAULTS[name]


ASSOCIATION = """
is_established is_released is_aborted is_rejected is_requestor is_acceptor mode ae requestor acceptor local
remote accepted_contexts rejected_contexts acse_timeout connection_timeout dimse_timeout network_timeout
network_timeout_response name lock acse dul
""".split()  # noqa: SIM905
USER = """
ae_title address port address_info mode is_requestor is_acceptor info maximum_length implementation_class_uid
implementation_version_name requested_contexts supported_contexts primitive user_information
extended_negotiation role_selection asynchronous_operations sop_class_extended sop_class_common_extended
user_identity writeable
""".split()  # noqa: SIM905
SERVER = ["active_associations", "ae", "ae_title", "contexts", "ssl_context", "server_address", "socket"]


def test_associations_users_and_servers_have_their_attributes(ours: Pair) -> None:
    server = ours.serve([VERIFICATION])
    assoc = ours.associate(server, [VERIFICATION])
    assert type(server) is ThreadedAssociationServer
    assert issubclass(ThreadedAssociationServer, AssociationServer)
    (accepting,) = server.active_associations
    for side in (assoc, accepting):
        assert [name for name in ASSOCIATION if not hasattr(side, name)] == []
        for user in (side.requestor, side.acceptor):
            assert isinstance(user, ServiceUser)
            shown = [name for name in USER if (name, user.mode) not in NOT_THE_OTHERS]
            assert [name for name in shown if not hasattr(user, name)] == []
    assert (assoc.mode, accepting.mode) == ("requestor", "acceptor")
    assert assoc.name.startswith("RequestorThread@")
    assert accepting.name.startswith("AcceptorThread@")
    assert set(assoc.local) >= {"ae_title", "address", "port", "mode", "pdv_size"}
    assert assoc.network_timeout_response == "A-ABORT"
    assert [name for name in SERVER if not hasattr(server, name)] == []
    assert assoc.requestor.asynchronous_operations == (1, 1)
    assert not assoc.requestor.writeable
    for what in ("requested", "supported", "pcdl", "pcdrl"):
        side_of = assoc.acceptor if what in ("supported", "pcdrl") else assoc.requestor
        assert isinstance(side_of.get_contexts(what), list)
    assert assoc.dul.socket is not None
    assert assoc.acse.is_aborted() is False


NOT_THE_OTHERS = {("supported_contexts", "requestor"), ("requested_contexts", "acceptor")}
"""Attributes that one of the two users has not; asking for them may raise."""

NOTIFICATIONS = """
ABORTED ACCEPTED ACSE_RECV ACSE_SENT CONN_CLOSE CONN_OPEN DATA_RECV DATA_SENT DIMSE_RECV DIMSE_SENT
ESTABLISHED FSM_TRANSITION PDU_RECV PDU_SENT REJECTED RELEASED REQUESTED
""".split()  # noqa: SIM905
INTERVENTIONS = """
ASYNC_OPS C_ECHO C_FIND C_GET C_MOVE C_STORE N_ACTION N_CREATE N_DELETE N_EVENT_REPORT N_GET N_SET SOP_COMMON
SOP_EXTENDED USER_ID
""".split()  # noqa: SIM905


def test_there_are_17_notifications_and_15_interventions() -> None:
    for names, events, is_intervention in (
        (NOTIFICATIONS, evt._NOTIFICATION_EVENTS, False),
        (INTERVENTIONS, evt._INTERVENTION_EVENTS, True),
    ):
        assert {str(event) for event in events} == {f"EVT_{name}" for name in names}
        for name in names:
            event = getattr(evt, f"EVT_{name}")
            assert (event.name, event.is_intervention) == (f"EVT_{name}", is_intervention)
            assert event.is_notification is not is_intervention
            assert event.description
            assert {event: 1}[event] == 1


EVENT_PROPERTIES = """
assoc event timestamp request context message_id dataset file_meta dataset_path identifier is_cancelled
move_destination action_type action_information attribute_list event_type event_information
attribute_identifiers modification_list
""".split()  # noqa: SIM905


def test_an_event_knows_every_property_and_says_when_it_has_one_not() -> None:
    told = evt.Event(Any, evt.EVT_ESTABLISHED)
    assert told.timestamp.tzinfo is None
    for name in EVENT_PROPERTIES[3:]:
        with pytest.raises(AttributeError, match="EVT_ESTABLISHED"):
            getattr(told, name)


PRIMITIVES = {
    "SCP_SCU_RoleSelectionNegotiation": "sop_class_uid scu_role scp_role",
    "UserIdentityNegotiation": "user_identity_type primary_field secondary_field positive_response_requested "
    "server_response",
    "AsynchronousOperationsWindowNegotiation": "maximum_number_operations_invoked "
    "maximum_number_operations_performed",
    "SOPClassExtendedNegotiation": "sop_class_uid service_class_application_information",
    "SOPClassCommonExtendedNegotiation": "sop_class_uid service_class_uid "
    "related_general_sop_class_identification",
    "MaximumLengthNotification": "maximum_length_received",
    "ImplementationClassUIDNotification": "implementation_class_uid",
    "ImplementationVersionNameNotification": "implementation_version_name",
    "A_ASSOCIATE": "result_str source_str reason_str",
    "A_RELEASE": "result",
    "A_ABORT": "abort_source",
    "A_P_ABORT": "provider_reason",
    "P_DATA": "presentation_data_value_list",
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_of_the_upper_layer_have_their_attributes(name: str) -> None:
    made = getattr(importlib.import_module("router.pdu_primitives"), name)()
    assert [attribute for attribute in PRIMITIVES[name].split() if not hasattr(made, attribute)] == []


CONTEXT = """
abstract_syntax transfer_syntax add_transfer_syntax context_id result status scu_role scp_role as_scu as_scp
as_tuple
""".split()  # noqa: SIM905


def test_a_presentation_context_has_its_attributes() -> None:
    from router.presentation import PresentationContext, PresentationContextTuple

    context = router.build_context(VERIFICATION)
    assert isinstance(context, PresentationContext)
    context.context_id = 1
    context.transfer_syntax = ["1.2.840.10008.1.2"]
    assert [name for name in CONTEXT if not hasattr(context, name)] == []
    assert isinstance(context.as_tuple, PresentationContextTuple)
    assert context.as_tuple._fields == ("context_id", "abstract_syntax", "transfer_syntax")
    assert {context, context} == {context}


C, Q = "C-ECHO C-STORE", "C-FIND C-GET C-MOVE"
N_SIX = "N-EVENT-REPORT N-GET N-SET N-ACTION N-CREATE N-DELETE"
SERVICE_CLASSES = {
    "Verification": ("C-ECHO", "Verification"),
    "Storage": ("C-STORE", "CTImageStorage"),
    "NonPatientObjectStorage": ("C-STORE", "HangingProtocolStorage"),
    "QueryRetrieve": (Q, "StudyRootQueryRetrieveInformationModelFind"),
    "BasicWorklistManagement": ("C-FIND", "ModalityWorklistInformationFind"),
    "ColorPaletteQueryRetrieve": (Q, "ColorPaletteInformationModelFind"),
    "DefinedProcedureProtocolQueryRetrieve": (Q, "DefinedProcedureProtocolInformationModelFind"),
    "HangingProtocolQueryRetrieve": (Q, "HangingProtocolInformationModelFind"),
    "ProtocolApprovalQueryRetrieve": (Q, "ProtocolApprovalInformationModelFind"),
    "InventoryQueryRetrieve": (Q, "InventoryFind"),
    "ImplantTemplateQueryRetrieve": (Q, "GenericImplantTemplateInformationModelFind"),
    "RelevantPatientInformationQuery": ("C-FIND", "GeneralRelevantPatientInformationQuery"),
    "SubstanceAdministrationQuery": ("C-FIND", "ProductCharacteristicsQuery"),
    "ApplicationEventLogging": ("N-ACTION", "ProceduralEventLogging"),
    "DisplaySystemManagement": ("N-GET", "DisplaySystem"),
    "InstanceAvailabilityNotification": ("N-CREATE", "InstanceAvailabilityNotification"),
    "MediaCreationManagement": ("N-CREATE N-GET N-ACTION", "MediaCreationManagement"),
    "PrintManagement": (N_SIX, "BasicFilmSession"),
    "ProcedureStep": ("N-CREATE N-EVENT-REPORT N-GET N-SET", "ModalityPerformedProcedureStep"),
    "RTMachineVerification": (N_SIX, "RTConventionalMachineVerification"),
    "StorageCommitment": ("N-ACTION N-EVENT-REPORT", "StorageCommitmentPushModel"),
    "StorageManagement": ("N-ACTION N-EVENT-REPORT", "InventoryCreation"),
    "UnifiedProcedureStep": (
        "N-EVENT-REPORT N-GET N-SET N-ACTION N-CREATE C-FIND", "UnifiedProcedureStepPush",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVICE_CLASSES)
def test_each_service_class_has_its_messages_and_sop_classes(name: str) -> None:
    from router.standard.dimse_fields import MESSAGE_NAMES

    service_class = getattr(importlib.import_module("router.service_class"), f"{name}ServiceClass")
    messages, sop_class = SERVICE_CLASSES[name]
    found = {MESSAGE_NAMES[field].removesuffix("-RQ") for field in service_class.requests}
    assert found == set(messages.split())
    uid = getattr(importlib.import_module("router.sop_class"), sop_class)
    assert uid.service_class is service_class


FLAGS = {
    "LOG_HANDLER_LEVEL": "standard", "ENFORCE_UID_CONFORMANCE": False, "USE_SHORT_DIMSE_AET": True,
    "LOG_RESPONSE_IDENTIFIERS": True, "LOG_REQUEST_IDENTIFIERS": True, "STORE_SEND_CHUNKED_DATASET": False,
    "STORE_RECV_CHUNKED_DATASET": False, "PASS_CONTEXTVARS": False, "WINDOWS_TIMER_RESOLUTION": 1,
    "CODECS": ("ascii",), "UNRESTRICTED_STORAGE_SERVICE": False,
}  # fmt: skip


@pytest.mark.parametrize("flag", FLAGS)
def test_each_switch_has_its_default(flag: str) -> None:
    assert getattr(_config, flag) == FLAGS[flag]


def test_validators_and_constants_are_there() -> None:
    from router import _globals

    assert set(_config.VALIDATORS) == {"AE", "UI"}
    assert _config.VALIDATORS["AE"]("TITLE")[0] is True
    assert (_globals.DEFAULT_MAX_LENGTH, _globals.MODE_REQUESTOR) == (16382, "requestor")
    assert _globals.MODE_ACCEPTOR == "acceptor"
    names = ("FAILURE", "SUCCESS", "WARNING", "PENDING", "CANCEL", "UNKNOWN")
    assert all(isinstance(getattr(_globals, f"STATUS_{name}"), str) for name in names)


INSTANCES = """
DisplaySystemInstance PrinterInstance PrinterConfigurationRetrievalInstance ProceduralEventLoggingInstance
StorageCommitmentPushModelInstance StorageManagementInstance SubstanceAdministrationLoggingInstance
UPSGlobalSubscriptionInstance UPSFilteredGlobalSubscriptionInstance
""".split()  # noqa: SIM905


def test_there_are_252_sop_classes_and_9_instances() -> None:
    module = importlib.import_module("router.sop_class")
    names = [name for name in dir(module) if isinstance(getattr(module, name), module.SOPClass)]
    registered = [name for name in names if not getattr(module, name).startswith("1.2.840.10008.")]
    assert len(names) - len(registered) == 252
    assert all(getattr(module, name).startswith("1.2.840.10008.") for name in INSTANCES)


def test_statuses_have_their_enumeration() -> None:
    from router.status import Status

    assert {status.name: int(status) for status in Status} | {"MOVE_DESTINATION_UNKNOWN": 0xA801} == {
        "SUCCESS": 0x0000, "CANCEL": 0xFE00, "PENDING": 0xFF00, "MOVE_DESTINATION_UNKNOWN": 0xA801,
    }  # fmt: skip


COMMON = ["ElementPath", "create_dataset", "get_files", "setup_logging", "handle_store", "SOP_CLASS_PREFIXES"]


def test_programs_find_what_applications_share_under_its_path() -> None:
    common = importlib.import_module("router.apps.common")
    assert [name for name in COMMON if not hasattr(common, name)] == []


def test_dictionaries_know_what_pydicom_does_not() -> None:
    importlib.import_module("router.api.pydicom_loading").load()
    from pydicom._uid_dict import UID_dictionary

    for end in ("110", "111", "112"):
        assert f"1.2.840.10008.1.2.4.{end}" in UID_dictionary
    assert "1.2.840.10008.1.2.8.1" in UID_dictionary
