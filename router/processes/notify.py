"""Telling systemd (Type=notify) what the router is doing; nothing happens under any other parent.

Sd_notify(3).
"""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send a state such as READY=1 or STOPPING=1 to the socket that $NOTIFY_SOCKET names, if it is set."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.setblocking(False)
        try:
            end.sendto(state.encode(), address)
        except OSError:
            return  # systemd will time the start out and say so
