"""Which peers are near: what we send them is not paced.

Where the system's congestion control is BBR, the kernel lets a dataset go in bursts, each by a timer. On a
far or lossy path that is worth it. To a peer in the same room it costs the router 15 % of a CT's CPU, and
rates jump by what BBR happens to believe of a loopback or a switch. A socket keeps its pacing until it is
closed, so the choice is made before it connects, by what earlier connections to the address have measured.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from typing import Any

NEAR_ROUND_TRIP_US = 1000
"""A peer that answers sooner is near."""

PEERS_MAX = 1024
"""Addresses remembered at most; then all are forgotten, and measured again."""

NEAR_CONGESTION_CONTROL = b"reno"
"""Unpaced, in every kernel and allowed to every user (tcp(7)); on a path this short it is as good as any."""

PACING = b"bbr"
"""How the names of those that pace begin."""

_NAME_BYTES = 16  # TCP_CA_NAME_MAX
_INFO_BYTES = 72
_ROUND_TRIP = struct.Struct("68xI")  # of struct tcp_info: tcpi_rtt, microseconds


class NearPeers:
    """The near addresses of this process. Safe in any thread: each step is one operation of a set."""

    def __init__(self) -> None:
        self._addresses: set[str] = set()

    def prepare(self, connection: socket.socket, address: str) -> None:
        """Choose for a socket that will be connected to this address."""
        if address in self._addresses or _is_loopback(address):
            _leave_unpaced(connection)

    def learn(self, connection: socket.socket, address: str) -> None:
        """Take note of how near the peer of a connected socket is."""
        round_trip_us = _round_trip_us(connection)
        if round_trip_us is None or round_trip_us >= NEAR_ROUND_TRIP_US:
            self._addresses.discard(address)
            return
        if len(self._addresses) >= PEERS_MAX:
            self._addresses.clear()
        self._addresses.add(address)


NEAR_PEERS = NearPeers()
"""Those of this process, whichever driver has measured them."""


def _leave_unpaced(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        chosen = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _NAME_BYTES)
        if chosen.startswith(PACING):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, NEAR_CONGESTION_CONTROL)


def _round_trip_us(connection: socket.socket) -> int | None:
    """Return what the kernel has measured, in microseconds; None if it does not say."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        measured: tuple[Any, ...] = _ROUND_TRIP.unpack_from(info)
    except (OSError, struct.error):
        return None
    return int(measured[0]) or None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
