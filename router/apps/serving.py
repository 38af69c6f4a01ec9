"""Run an SCP application: listen at once, load the rest in the background, and end on Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from router import AE
from router.apps.peer import set_timeouts
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN

ASSOCIATIONS_MAX = 100
"""At once; idle ones cost no thread."""

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def make_scp(args: Any) -> AE:
    """Return an AE that accepts, as the options of arguments.add_scp_network() say."""
    ae = AE(ae_title=args.ae_title)
    set_timeouts(ae, args)
    ae.maximum_pdu_size = args.max_pdu
    ae.maximum_associations = ASSOCIATIONS_MAX
    return ae


def support(ae: AE, abstract_syntaxes: Iterable[str], transfer_syntaxes: list[str], **roles: bool) -> None:
    """Accept these abstract syntaxes, each in any of the transfer syntaxes."""
    for uid in abstract_syntaxes:
        ae.add_supported_context(uid, transfer_syntaxes, **roles)


def serve(
    ae: AE,
    args: argparse.Namespace | Any,
    log: logging.Logger,
    handlers: list[Any],
    prepare: Callable[[], bool] | None = None,
) -> int:
    """Serve until a signal ends it; return the exit status.

    prepare: called once the port listens, for what takes time to load; handlers must wait for it. It returns
    False if there is no going on.
    """
    # Before listening: whoever saw the port open may end this process at once.
    ended = threading.Event()
    for number in ENDING_SIGNALS:
        signal.signal(number, _setter(ended, number))
    try:
        server = ae.start_server((args.bind_address, args.port), block=False, evt_handlers=handlers)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        log.error(f"Cannot listen on port {args.port}: {why}")
        return 1
    assert server is not None
    address, port = server.server_address[:2]
    log.info(f"Listening on {address}, port {port}")
    try:
        if prepare is not None and not prepare():
            return 1
        threading.Thread(target=warm_up, daemon=True).start()
        ended.wait()
    finally:
        ae.shutdown()
    return 0


def warm_up() -> None:
    """Load what the first dataset would have to wait for."""
    from router.api.dsutils import create_file_meta, encode_file_meta

    encode_file_meta(
        create_file_meta(
            sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax=IMPLICIT_VR_LITTLE_ENDIAN
        )
    )


def _setter(ended: threading.Event, number: int) -> Callable[[int, FrameType | None], None]:
    def end(_: int, __: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process there and then
        ended.set()

    return end
