"""`dicom-router storescp`: receive instances into a folder."""

from __future__ import annotations

import argparse
import sys

from router.apps import arguments

APP = "storescp"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Listen for C-STORE and write each instance to a file, named by its kind and its SOP Instance UID, "
        "exactly as it is encoded. All storage SOP classes and transfer syntaxes are accepted."
    )
    parser.epilog = arguments.EXIT_STATUS_SCP
    arguments.add_general(parser, APP)
    arguments.add_scp_network(parser, "STORESCP")
    arguments.add_preferred_syntaxes(parser)
    add_output(parser)
    group = parser.add_argument_group("Miscellaneous Options")
    group.add_argument("--no-echo", action="store_true", help="do not answer C-ECHO")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add where received instances go."""
    group = parser.add_argument_group("Output Options")
    group.add_argument(
        "-od",
        "--output-directory",
        metavar="DIRECTORY",
        help="write files to this directory, made if it is not there (default: the current one)",
    )
    group.add_argument("--ignore", action="store_true", help="receive instances, but do not store them")


def run(args: argparse.Namespace) -> int:
    """Serve; return the exit status."""
    from router import AllStoragePresentationContexts, evt
    from router.apps.log import set_up_log
    from router.apps.serving import make_scp, serve, support
    from router.apps.stored_files import handle_store, receive_into
    from router.standard.uids import VERIFICATION

    log = set_up_log(args, APP)
    ae = make_scp(args)
    ae.receive_to = receive_into(args, log)
    syntaxes = arguments.preferred_syntaxes(args)
    support(ae, (context.abstract_uid for context in AllStoragePresentationContexts), syntaxes)
    if not args.no_echo:
        ae.add_supported_context(VERIFICATION, syntaxes)
    return serve(ae, args, log, lambda: [(evt.EVT_C_STORE, handle_store, [args, log])])


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
