"""Find the `[sources]` entry of a sender by its calling AE title, its address and its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.config.peers import Source
from router.config.values import IPAddress, IPNetwork, parse_address, parse_network


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sender has shown in its TLS handshake.

    names: common name and subject alternative names of a certificate that was verified, in small letters.
    fingerprint: its SHA-256, small hexadecimal digits; "" without a certificate.
    """

    names: frozenset[str] = frozenset()
    fingerprint: str = ""


class SourceTable:
    """The sources of one configuration, ready for look-up; the first that matches counts.

    An AE title of a source that is bound to a certificate belongs to the sources that list it: no other
    source, nor "unknown", takes who calls itself so.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._entries = [_Entry(name, source) for name, source in sources.items()]
        self._networks = tuple(network for entry in self._entries for network in entry.networks)
        self._bound = frozenset(
            title for entry in self._entries if entry.is_bound for title in entry.calling_ae_titles
        )

    def find(
        self, calling_ae_title: str, peer_address: str, credentials: Credentials | None = None
    ) -> str | None:
        """Return the name of the source, or None for an unknown sender.

        peer_address: of the socket. credentials: None for a connection without TLS.
        """
        address = parse_address(peer_address)
        is_bound = calling_ae_title in self._bound
        for entry in self._entries:
            if is_bound and calling_ae_title not in entry.calling_ae_titles:
                continue
            if entry.matches(calling_ae_title, address, credentials):
                return entry.name
        return None

    def is_bound(self, calling_ae_title: str) -> bool:
        """Whether a certificate is asked of who calls itself so: it is never just an unknown sender."""
        return calling_ae_title in self._bound

    def may_know(self, peer_address: str) -> bool:
        """Whether a source names this address: all that is known of a sender before its request."""
        address = parse_address(peer_address)
        return address is not None and any(address in network for network in self._networks)


class _Entry:
    """One source, made ready."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.calling_ae_titles = frozenset(source.calling_ae_titles)
        self.networks: tuple[IPNetwork, ...] = tuple(parse_network(one) for one in source.addresses)
        self._names = frozenset(name.lower() for name in source.certificate_names)
        self._fingerprints = frozenset(source.certificate_fingerprints)
        self._needs_tls = source.tls

    @property
    def is_bound(self) -> bool:
        """Whether a certificate is asked for."""
        return bool(self._names or self._fingerprints)

    def matches(
        self, calling_ae_title: str, address: IPAddress | None, credentials: Credentials | None
    ) -> bool:
        """Whether all that the source gives holds."""
        if self.calling_ae_titles and calling_ae_title not in self.calling_ae_titles:
            return False
        if self.networks and not any(address is not None and address in one for one in self.networks):
            return False
        if credentials is None:
            return not (self._needs_tls or self.is_bound)
        if self._names and self._names.isdisjoint(credentials.names):
            return False
        return not self._fingerprints or credentials.fingerprint in self._fingerprints
