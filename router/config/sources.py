"""Find the `[sources]` entry of a sender by its calling AE title and its address."""

from __future__ import annotations

from collections.abc import Mapping

from router.config.schema import Source
from router.config.values import IPNetwork, parse_address, parse_network


class SourceTable:
    """The sources of one configuration, ready for look-up; the first that matches counts."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._entries: list[tuple[str, frozenset[str], tuple[IPNetwork, ...]]] = [
            (name, frozenset(source.calling_ae_titles), tuple(parse_network(one) for one in source.addresses))
            for name, source in sources.items()
        ]

    def find(self, calling_ae_title: str, peer_address: str) -> str | None:
        """Return the name of the source, or None for an unknown sender. peer_address: of the socket."""
        address = parse_address(peer_address)
        for name, titles, networks in self._entries:
            if titles and calling_ae_title not in titles:
                continue
            if networks and not any(address is not None and address in network for network in networks):
                continue
            return name
        return None
