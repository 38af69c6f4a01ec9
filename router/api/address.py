"""Network addresses as programs give and see them: IPv4 and IPv6, with flow information and scope."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any


@dataclass
class AddressInformation:
    """One end of a connection. flowinfo, scope_id: of IPv6 only."""

    address: str
    port: int
    flowinfo: int = 0
    scope_id: int = 0

    @property
    def address_family(self) -> socket.AddressFamily:
        """AF_INET6 for an IPv6 address, else AF_INET."""
        return socket.AF_INET6 if self.is_ipv6 else socket.AF_INET

    @property
    def is_ipv4(self) -> bool:
        """Whether this is no IPv6 address; a name counts as IPv4."""
        return not self.is_ipv6

    @property
    def is_ipv6(self) -> bool:
        """Whether this is an IPv6 address."""
        try:
            return ip_address(self.address.partition("%")[0]).version == 6
        except ValueError:
            return False

    @property
    def as_tuple(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as the socket module takes it."""
        if self.is_ipv6:
            return self.address, self.port, self.flowinfo, self.scope_id
        return self.address, self.port

    @classmethod
    def from_tuple(cls, address: tuple[Any, ...]) -> AddressInformation:
        """Return the address of (host, port) or (host, port, flowinfo, scope_id). Raises TypeError."""
        if not isinstance(address, tuple) or len(address) not in (2, 4):
            raise TypeError("an address must be (str, int) or (str, int, int, int)")
        host, *numbers = address
        if not isinstance(host, str) or any(not isinstance(number, int) for number in numbers):
            raise TypeError("an address must be (str, int) or (str, int, int, int)")
        return cls(host, *numbers)

    @classmethod
    def from_addr_port(cls, addr: str | tuple[str, int, int], port: int) -> AddressInformation:
        """Return the address of associate()'s arguments. Raises TypeError."""
        if isinstance(addr, tuple):
            if len(addr) != 3 or not isinstance(addr[0], str):
                raise TypeError("'addr' must be str or tuple[str, int, int]")
            return cls(addr[0], _port(port), addr[1], addr[2])
        if not isinstance(addr, str):
            raise TypeError("'addr' must be str or tuple[str, int, int]")
        return cls(addr, _port(port))


def _port(port: int) -> int:
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError("'port' must be int")
    return port
