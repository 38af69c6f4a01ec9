"""Connections that are no association yet, or no more: bounded, and fair among addresses.

In the TLS handshake, before their request, or rejected and not yet closed by their peer: whoever opens many
of them loses the oldest of its own, so that a flood from one address leaves room for all others. Addresses
that a source names lose theirs last. An IPv6 peer counts by its /64, of which it may have every address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

One = TypeVar("One", bound=Hashable)

IPV6_PREFIX = 64


class Pending(Generic[One]):
    """What is pending, by address. may_know: whether a source names an address; replaced at a reload."""

    def __init__(self, pending_max: int, may_know: Callable[[str], bool]) -> None:
        self.pending_max = pending_max
        self.may_know = may_know
        self._by_address: dict[str, dict[One, None]] = {}
        self._address_of: dict[One, str] = {}
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._address_of)

    def add(self, one: One, address: str) -> One | None:
        """Take one in; return who must go for it, if anybody. It is no longer in here then."""
        key = group_of(address)
        self._by_address.setdefault(key, {})[one] = None
        self._address_of[one] = key
        if self.may_know(address):
            self._known.add(key)
        if len(self._address_of) <= self.pending_max:
            return None
        victim = next(iter(self._by_address[self._fullest()]))
        self.discard(victim)
        return victim

    def discard(self, one: One) -> None:
        """Forget one that has become an association, or is gone."""
        key = self._address_of.pop(one, None)
        if key is None:
            return
        others = self._by_address[key]
        del others[one]
        if not others:
            del self._by_address[key]
            self._known.discard(key)

    def _fullest(self) -> str:
        """Return the address with the most; unknown ones before known ones."""
        sizes = {key: len(members) for key, members in self._by_address.items()}
        unknown = [key for key in sizes if key not in self._known]
        return max(unknown or sizes, key=sizes.__getitem__)


def group_of(address: str) -> str:
    """Return what an address counts by: itself, or the first address of its IPv6 /64."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, IPV6_PREFIX), strict=False).network_address)
