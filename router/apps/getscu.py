"""`dicom-router getscu`: retrieve with C-GET."""

from __future__ import annotations

import argparse
import sys

from router.apps import arguments, querying, storescp

APP = "getscu"

MODELS = (
    ("-P", "--patient", "patient root"),
    ("-S", "--study", "study root"),
    ("-O", "--psonly", "patient/study only"),
)
SOP_CLASSES = {
    "patient": "1.2.840.10008.5.1.4.1.2.1.3",
    "study": "1.2.840.10008.5.1.4.1.2.2.3",
    "psonly": "1.2.840.10008.5.1.4.1.2.3.3",
}
"""Model -> SOP class to retrieve with (PS3.4 section C.4.3)."""

FLAGS = (
    ("--relational-retrieval", "relational retrieval"),
    ("--enhanced-conversion", "enhanced multi-frame image conversion"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Retrieve instances from an SCP with C-GET, over the association that asks for them."
    parser.epilog = arguments.EXIT_STATUS
    arguments.add_general(parser, APP, "info")
    arguments.add_peer(parser)
    arguments.add_scu_network(parser, "GETSCU")
    querying.add_models(parser, MODELS)
    querying.add_query(parser)
    storescp.add_output(parser)
    querying.add_flags(parser, FLAGS)


def run(args: argparse.Namespace) -> int:
    """Retrieve; return the exit status."""
    querying.require_query(args)
    from router import StoragePresentationContexts, build_role, evt
    from router.apps.log import set_up_log
    from router.apps.peer import make_ae, open_association
    from router.apps.stored_files import handle_store, receive_into

    log = set_up_log(args, APP)
    query = querying.read_query(args, log)
    if query is None:
        return 1
    ae = make_ae(args, args.calling_aet)
    ae.receive_to = receive_into(args, log)
    for sop_class in SOP_CLASSES.values():
        ae.add_requested_context(sop_class)
    ae.requested_contexts = StoragePresentationContexts
    items = [build_role(context.abstract_uid, scp_role=True) for context in StoragePresentationContexts]
    asked = [args.relational_retrieval, args.enhanced_conversion]
    extended = [querying.extended_negotiation(SOP_CLASSES[args.model], asked)] if any(asked) else []
    handlers = [(evt.EVT_C_STORE, handle_store, [args, log])]
    assoc = open_association(ae, args, log, ext_neg=[*items, *extended], evt_handlers=handlers)
    if assoc is None:
        return 1
    with assoc:
        try:
            return querying.take_all(assoc.send_c_get(query, SOP_CLASSES[args.model]), log)
        except ValueError as error:
            log.error(f"Get failed: {error}")
            return 1


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
