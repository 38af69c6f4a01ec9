"""Run an SCP application: listen at once, load the rest, and end on Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from router import AE
from router.api import pydicom_loading
from router.apps.peer import set_timeouts

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
    handlers: Callable[[], list[Any]],
) -> int:
    """Serve until a signal ends it; return the exit status.

    handlers: called once the port is open, for what takes time to load; who connects meanwhile waits. Raises
    what it raises.
    """
    # Before the port opens: whoever sees it open may end this process at once.
    ended = threading.Event()
    for number in ENDING_SIGNALS:
        signal.signal(number, _setter(ended, number))
    try:
        server = ae.make_server((args.bind_address, args.port))
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        log.error(f"Cannot listen on port {args.port}: {why}")
        return 1
    address, port = server.server_address[:2]
    log.info(f"Listening on {address}, port {port}")
    try:
        pydicom_loading.load()
        for event, handler, *more in handlers():
            server.bind(event, handler, *more)
        server.start()
        ended.wait()
    finally:
        ae.shutdown()
    return 0


def _setter(ended: threading.Event, number: int) -> Callable[[int, FrameType | None], None]:
    def end(_: int, __: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process there and then
        ended.set()

    return end
