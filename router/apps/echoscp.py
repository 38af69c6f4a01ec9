"""`dicom-router echoscp`: answer C-ECHO, always with success."""

from __future__ import annotations

import argparse
import sys

from router.apps import arguments

APP = "echoscp"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Listen for C-ECHO (Verification) and answer it with success."
    parser.epilog = arguments.EXIT_STATUS_SCP
    arguments.add_general(parser, APP)
    arguments.add_scp_network(parser, "ECHOSCP")
    arguments.add_preferred_syntaxes(parser)


def run(args: argparse.Namespace) -> int:
    """Serve; return the exit status."""
    from router.apps.log import set_up_log
    from router.apps.serving import make_scp, serve
    from router.standard.uids import VERIFICATION

    log = set_up_log(args, APP)
    ae = make_scp(args)
    ae.add_supported_context(VERIFICATION, arguments.preferred_syntaxes(args))
    return serve(ae, args, log, list)


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
