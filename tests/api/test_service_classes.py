"""Every service class of the inventory, over real sockets: each of its messages reaches its handler."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.api.conftest import Pair
from tests.support.datasets import instance, query

MODELS = {
    "QueryRetrieve": "StudyRootQueryRetrieveInformationModel",
    "ColorPaletteQueryRetrieve": "ColorPaletteInformationModel",
    "DefinedProcedureProtocolQueryRetrieve": "DefinedProcedureProtocolInformationModel",
    "HangingProtocolQueryRetrieve": "HangingProtocolInformationModel",
    "ProtocolApprovalQueryRetrieve": "ProtocolApprovalInformationModel",
    "ImplantTemplateQueryRetrieve": "ImplantTemplateGroupInformationModel",
    "InventoryQueryRetrieve": "Inventory",
}
QUERIES = {"C-FIND": "Find", "C-GET": "Get", "C-MOVE": "Move"}
SIX = "N-EVENT-REPORT N-GET N-SET N-ACTION N-CREATE N-DELETE"
OTHERS = {
    "Verification": ("C-ECHO", "Verification"),
    "Storage": ("C-STORE", "CTImageStorage"),
    "NonPatientObjectStorage": ("C-STORE", "HangingProtocolStorage"),
    "BasicWorklistManagement": ("C-FIND", "ModalityWorklistInformationFind"),
    "RelevantPatientInformationQuery": ("C-FIND", "CardiacRelevantPatientInformationQuery"),
    "SubstanceAdministrationQuery": ("C-FIND", "SubstanceApprovalQuery"),
    "ApplicationEventLogging": ("N-ACTION", "ProceduralEventLogging"),
    "DisplaySystemManagement": ("N-GET", "DisplaySystem"),
    "InstanceAvailabilityNotification": ("N-CREATE", "InstanceAvailabilityNotification"),
    "MediaCreationManagement": ("N-CREATE N-GET N-ACTION", "MediaCreationManagement"),
    "PrintManagement": (SIX, "BasicFilmBox"),
    "ProcedureStep": ("N-CREATE N-EVENT-REPORT N-GET N-SET", "ModalityPerformedProcedureStep"),
    "RTMachineVerification": (SIX, "RTIonMachineVerification"),
    "StorageCommitment": ("N-ACTION N-EVENT-REPORT", "StorageCommitmentPushModel"),
    "StorageManagement": ("N-ACTION N-EVENT-REPORT", "InventoryCreation"),
    "UnifiedProcedureStep": (
        "C-FIND N-EVENT-REPORT N-GET N-SET N-ACTION N-CREATE", "UnifiedProcedureStepPull",
    ),
}  # fmt: skip
SERVICES: dict[str, list[tuple[str, str]]] = {
    **{name: [(verb, model + end) for verb, end in QUERIES.items()] for name, model in MODELS.items()},
    **{name: [(verb, uid) for verb in verbs.split()] for name, (verbs, uid) in OTHERS.items()},
}
"""Service class -> (message, name of the SOP class it is sent on)."""

INSTANCE = "1.2.3.4"


def uid_of(name: str) -> str:
    return str(getattr(importlib.import_module("router.sop_class"), name))


def attributes() -> Dataset:
    dataset = Dataset()
    dataset.PatientID = "P1"
    return dataset


def handlers(evt: Any, seen: list[str]) -> list[Any]:
    """Return a handler for each event, which answers with success, and notes the message it saw."""

    def note(event: Any) -> None:
        seen.append(event.event.name.removeprefix("EVT_").replace("_", "-"))

    def status(event: Any) -> int:
        note(event)
        return 0x0000

    def status_and_dataset(event: Any) -> tuple[int, Dataset]:
        note(event)
        return 0x0000, attributes()

    def matches(event: Any) -> Any:
        note(event)
        yield 0xFF00, attributes()

    def nothing_to_get(event: Any) -> Any:
        note(event)
        yield 0

    def nothing_to_move(event: Any) -> Any:
        note(event)
        yield "127.0.0.1", 1
        yield 0

    bound = {"C_FIND": matches, "C_GET": nothing_to_get, "C_MOVE": nothing_to_move}
    bound |= dict.fromkeys(("C_ECHO", "C_STORE", "N_DELETE"), status)
    bound |= dict.fromkeys(("N_ACTION", "N_CREATE", "N_EVENT_REPORT", "N_GET", "N_SET"), status_and_dataset)
    return [(getattr(evt, f"EVT_{name}"), handler) for name, handler in bound.items()]


def send(assoc: Any, verb: str, uid: str) -> tuple[Any, Any]:
    """Send one request; return status and dataset of its answer, the last one if there are several."""
    match verb:
        case "C-ECHO":
            return assoc.send_c_echo(), None
        case "C-STORE":
            dataset = instance()
            dataset.SOPClassUID = uid
            return assoc.send_c_store(dataset), None
        case "C-FIND":
            return list(assoc.send_c_find(query(), uid))[-1]
        case "C-GET":
            return list(assoc.send_c_get(query(), uid))[-1]
        case "C-MOVE":
            return list(assoc.send_c_move(query(), "STORE", uid))[-1]
        case "N-GET":
            found: tuple[Any, Any] = assoc.send_n_get([0x00100020], uid, INSTANCE)
            return found
        case "N-DELETE":
            return assoc.send_n_delete(uid, INSTANCE), None
        case "N-SET" | "N-CREATE":
            verb_of = assoc.send_n_set if verb == "N-SET" else assoc.send_n_create
            return verb_of(attributes(), uid, INSTANCE)  # type: ignore[no-any-return]
        case _:
            verb_of = assoc.send_n_action if verb == "N-ACTION" else assoc.send_n_event_report
            return verb_of(attributes(), 1, uid, INSTANCE)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", SERVICES)
def test_each_message_of_the_service_reaches_its_handler(name: str, pair: Pair) -> None:
    messages = SERVICES[name]
    uids = sorted({uid_of(sop_class) for _, sop_class in messages})
    seen: list[str] = []
    server = pair.serve(uids, handlers(pair.scp.evt, seen))
    assoc = pair.associate(server, uids, evt_handlers=handlers(pair.scu.evt, seen))
    (accepting,) = server.active_associations
    for verb, sop_class in messages:
        # N-EVENT-REPORT is what the SCP sends.
        sender = accepting if verb == "N-EVENT-REPORT" else assoc
        status, dataset = send(sender, verb, uid_of(sop_class))
        assert status.Status == 0x0000, verb
        if verb.startswith("N-") and verb != "N-DELETE":
            assert dataset.PatientID == "P1", verb
    assert seen == [verb for verb, _ in messages]
