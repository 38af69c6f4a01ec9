"""`dicom-router movescu`: retrieve with C-MOVE."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from router.apps import arguments, querying, storescp
from router.apps.getscu import FLAGS, MODELS

APP = "movescu"

SOP_CLASSES = {
    "patient": "1.2.840.10008.5.1.4.1.2.1.2",
    "study": "1.2.840.10008.5.1.4.1.2.2.2",
    "psonly": "1.2.840.10008.5.1.4.1.2.3.2",
}
"""Model -> SOP class to retrieve with (PS3.4 section C.4.2)."""

LOCALHOST = "127.0.0.1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Have an SCP send instances to a third party with C-MOVE; with --store, to this application itself."
    )
    parser.epilog = arguments.EXIT_STATUS
    arguments.add_general(parser, APP, "info")
    arguments.add_peer(parser)
    network = arguments.add_scu_network(parser, "MOVESCU")
    network.add_argument(
        "-aem",
        "--move-aet",
        metavar="AET",
        type=arguments.ae_title,
        default="STORESCP",
        help="AE title that the instances shall be sent to (default: %(default)s)",
    )
    querying.add_models(parser, MODELS)
    querying.add_query(parser)
    storescp.add_output(parser)
    group = parser.add_argument_group("Storage SCP Options")
    group.add_argument("--store", action="store_true", help="receive instances here, on the loopback address")
    group.add_argument(
        "--store-port",
        metavar="PORT",
        type=arguments.peer_port,
        default=11113,
        help="port for --store (default: %(default)s)",
    )
    group.add_argument(
        "--store-aet",
        metavar="AET",
        type=arguments.ae_title,
        default="STORESCP",
        help="AE title for --store (default: %(default)s)",
    )
    querying.add_flags(parser, FLAGS)


def run(args: argparse.Namespace) -> int:
    """Retrieve; return the exit status."""
    querying.require_query(args)
    from router import QueryRetrievePresentationContexts
    from router.apps.log import set_up_log
    from router.apps.peer import make_ae, open_association

    log = set_up_log(args, APP)
    query = querying.read_query(args, log)
    if query is None:
        return 1
    ae = make_ae(args, args.calling_aet)
    ae.requested_contexts = QueryRetrievePresentationContexts
    asked = [args.relational_retrieval, args.enhanced_conversion]
    extended = [querying.extended_negotiation(SOP_CLASSES[args.model], asked)] if any(asked) else []
    try:
        with _storage(args, log):
            assoc = open_association(ae, args, log, ext_neg=extended)
            if assoc is None:
                return 1
            with assoc:
                responses = assoc.send_c_move(query, args.move_aet, SOP_CLASSES[args.model])
                return querying.take_all(responses, log)
    except ValueError as error:
        log.error(f"Move failed: {error}")
    except OSError as error:
        log.error(f"Cannot listen on port {args.store_port}: {error.strerror or error}")
    return 1


@contextmanager
def _storage(args: argparse.Namespace, log: logging.Logger) -> Iterator[None]:
    """Receive instances for the length of the block, if --store says so. Raises OSError if it cannot."""
    if not args.store:
        yield
        return
    from router import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
    from router.apps.peer import make_ae
    from router.apps.serving import support
    from router.apps.stored_files import handle_store, receive_into

    with make_ae(args, args.store_aet) as ae:
        ae.maximum_pdu_size = args.max_pdu
        ae.receive_to = receive_into(args, log)
        support(
            ae, (context.abstract_uid for context in AllStoragePresentationContexts), ALL_TRANSFER_SYNTAXES
        )
        handlers: list[Any] = [(evt.EVT_C_STORE, handle_store, [args, log])]
        ae.start_server((LOCALHOST, args.store_port), block=False, evt_handlers=handlers)
        yield


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
