"""The association of an SCU application with its peer: opened as the options say, or a line on why not."""

from __future__ import annotations

import argparse
import logging
import socket
from typing import Any

from router import AE, Association


def make_ae(args: argparse.Namespace, title: str) -> AE:
    """Return an AE with the timeouts of the options."""
    ae = AE(ae_title=title)
    set_timeouts(ae, args)
    return ae


def set_timeouts(ae: AE, args: Any) -> None:
    """Give an AE the timeouts of the options. A connection may take as long as the answer to a request."""
    ae.acse_timeout = args.acse_timeout
    ae.connection_timeout = args.acse_timeout or None
    ae.dimse_timeout = args.dimse_timeout
    ae.network_timeout = args.network_timeout


def open_association(
    ae: AE, args: argparse.Namespace, log: logging.Logger, **more: Any
) -> Association | None:
    """Associate with the peer of the options; None if that failed, the log then says why.

    more: further arguments of AE.associate().
    """
    try:
        assoc = ae.associate(args.addr, args.port, ae_title=args.called_aet, max_pdu=args.max_pdu, **more)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else error
        log.error("Association request failed: unable to connect to remote")
        log.error(f"TCP Initialisation Error: {why}")
        return None
    return assoc if assoc.is_established else None
