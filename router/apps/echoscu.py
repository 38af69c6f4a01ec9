"""`dicom-router echoscu`: send C-ECHO."""

from __future__ import annotations

import argparse
import sys

from router.apps import arguments

APP = "echoscu"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Send C-ECHO (Verification) to an SCP and wait for the answer."
    parser.epilog = arguments.EXIT_STATUS
    arguments.add_general(parser, APP)
    arguments.add_peer(parser)
    arguments.add_scu_network(parser, "ECHOSCU")
    arguments.add_requested_syntaxes(parser)
    group = parser.add_argument_group("Miscellaneous Options")
    group.add_argument(
        "--repeat", metavar="N", type=arguments.positive, default=1, help="send it N times (default: 1)"
    )
    group.add_argument("--abort", action="store_true", help="abort the association instead of releasing it")


def run(args: argparse.Namespace) -> int:
    """Send; return the exit status."""
    from router.apps.log import set_up_log
    from router.apps.peer import make_ae, open_association
    from router.standard.uids import VERIFICATION

    log = set_up_log(args, APP)
    ae = make_ae(args, args.calling_aet)
    ae.add_requested_context(VERIFICATION, arguments.requested_syntaxes(args))
    assoc = open_association(ae, args, log)
    if assoc is None:
        return 1
    failed = 0
    for _ in range(args.repeat):
        if not assoc.is_established:
            return 1
        status = assoc.send_c_echo()
        if not status:
            failed += 1
        elif status.Status != 0x0000:
            failed += 1
            log.error(f"Echo failed: status 0x{status.Status:04X}")
    if args.abort:
        assoc.abort()
    else:
        assoc.release()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
