"""A program as users write them, with the names they import: it is checked by mypy --strict, never run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from router import AE, Association, _config, build_context, build_role, debug_logger, evt, register_uid
from router._globals import ALL_TRANSFER_SYNTAXES, DEFAULT_MAX_LENGTH
from router._handlers import debug_data, debug_fsm
from router.ae import ApplicationEntity
from router.aio import AE as AsyncAE
from router.api.received_files import Incoming
from router.dimse_messages import C_STORE_RQ
from router.dimse_primitives import C_STORE
from router.dsutils import decode, encode
from router.events import Event, EventHandlerType
from router.pdu_primitives import SCP_SCU_RoleSelectionNegotiation, UserIdentityNegotiation
from router.presentation import PresentationContext
from router.service_class import StorageServiceClass
from router.sop_class import (
    CTImageStorage,
    PrinterInstance,
    SOPClass,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
    uid_to_sop_class,
)
from router.status import STORAGE_SERVICE_CLASS_STATUS, Status, code_to_category
from router.transport import AddressInformation, AssociationServer, ThreadedAssociationServer
from router.utils import pretty_bytes


def handle_store(event: Event, folder: Path) -> int:
    dataset = event.dataset
    dataset.file_meta = event.file_meta
    dataset.save_as(folder / f"{event.request.AffectedSOPInstanceUID}.dcm")
    return 0x0000


def handle_find(event: Event) -> Iterator[tuple[int, Dataset | None]]:
    if event.is_cancelled:
        yield 0xFE00, None
        return
    match = Dataset()
    match.PatientID = event.identifier.PatientID
    yield 0xFF00, match


def handle_open(event: Event) -> None:
    print("connected from", event.assoc.requestor.address, event.timestamp)


def place_of(incoming: Incoming) -> Path | None:
    return Path("large") if incoming.sop_class_uid == CTImageStorage else None


def serve(folder: Path) -> None:
    debug_logger()
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    register_uid("1.2.3.4", "PrivateStorage", StorageServiceClass)
    handlers: list[EventHandlerType] = [
        (evt.EVT_C_STORE, handle_store, [folder]),
        (evt.EVT_C_FIND, handle_find),
        (evt.EVT_CONN_OPEN, handle_open),
        (evt.EVT_FSM_TRANSITION, debug_fsm),
        (evt.EVT_DATA_RECV, debug_data),
    ]
    ae: ApplicationEntity = AE(ae_title="ARCHIVE")
    ae.receive_to = place_of
    ae.add_supported_context(CTImageStorage, ALL_TRANSFER_SYNTAXES, scu_role=True, scp_role=True)
    ae.add_supported_context(Verification)
    server = ae.start_server(("", 11112), block=False, evt_handlers=handlers)
    if isinstance(server, ThreadedAssociationServer):
        open_ones: list[Association] = server.active_associations
        print(len(open_ones), server.server_address)
        server.shutdown()
    made: AssociationServer = ae.make_server(("", 0))
    made.shutdown()


def ask(path: Path) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 1
    identity.primary_field = b"me"
    role: SCP_SCU_RoleSelectionNegotiation = build_role(CTImageStorage, scp_role=True)
    contexts: list[PresentationContext] = [build_context(CTImageStorage), build_context(Verification)]
    ae = AE()
    ae.acse_timeout = 5
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    assoc = ae.associate(
        "127.0.0.1", 11112, contexts, max_pdu=DEFAULT_MAX_LENGTH, ext_neg=[identity, role], ae_title="PACS"
    )
    if not assoc.is_established:
        return
    status: Dataset = assoc.send_c_echo()
    if status and status.Status == Status.SUCCESS:
        print(code_to_category(status.Status), STORAGE_SERVICE_CLASS_STATUS[0xA700][1])
    for item, stored in assoc.send_c_store_many([path, Dataset()]):
        print(item, stored)
    for found, identifier in assoc.send_c_find(Dataset(), StudyRootQueryRetrieveInformationModelFind):
        if found and identifier is not None:
            print(identifier.PatientName)
    for moved, _ in assoc.send_c_move(Dataset(), "ME", StudyRootQueryRetrieveInformationModelMove):
        print(moved.NumberOfRemainingSuboperations)
    answer, attributes = assoc.send_n_get([0x00100010], CTImageStorage, PrinterInstance)
    print(answer, attributes)
    assoc.release()


def look(event: Event) -> str:
    message = event.message
    if isinstance(message, C_STORE_RQ):
        print(message.command_set.AffectedSOPClassUID)
    primitive = C_STORE()
    primitive.MessageID = 1
    known: SOPClass = uid_to_sop_class("1.2.840.10008.1.1")
    address = AddressInformation("127.0.0.1", 104)
    encoded = encode(Dataset(), True, True)
    return f"{known.service_class} {address.as_tuple} {pretty_bytes(encoded or b'')} {decode}"


async def ask_awaiting(path: Path) -> None:
    async with AsyncAE() as ae:
        ae.add_requested_context(CTImageStorage)
        async with await ae.associate("127.0.0.1", 11112) as assoc:
            status: Dataset = await assoc.send_c_store(path)
            print(status)
            async for item, stored in assoc.send_c_store_many([path]):
                print(item, stored)
            async for found, identifier in assoc.send_c_find(Dataset(), Verification):
                print(found, identifier)


if __name__ == "__main__":
    asyncio.run(ask_awaiting(Path("image.dcm")))
