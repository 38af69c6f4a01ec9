"""A requestor inside TLS on the test's own event loop, with contexts as good or as bad as a test wants."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from router.wire.pdus import AssociateRQ, encode_pdu
from tests.support.pki import Identity, pki
from tests.support.raw_peer import associate_rq
from tests.support.scripted_scp import WAIT_S


def client_context(
    identity: Identity | None = None,
    *,
    ca: Path | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    suites: str = "",
) -> ssl.SSLContext:
    """Return a client's context that trusts the test CA. suites: OpenSSL's words for those of TLS 1.2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca or pki().ca.certificate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the old versions are what is to be refused
        context.minimum_version = min(newest, ssl.TLSVersion.TLSv1_2)
        context.maximum_version = newest
    if suites:
        context.set_ciphers(suites)
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


class TlsPeer:
    """One connection. A connection that the other side has ended reads as b""."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send octets."""
        with suppress(OSError):
            self.writer.write(data)
            await asyncio.wait_for(self.writer.drain(), WAIT_S)

    async def read_pdu(self) -> bytes:
        """Read one PDU, head included; b"" at the end of the connection."""
        try:
            async with asyncio.timeout(WAIT_S):
                head = await self.reader.readexactly(6)
                return head + await self.reader.readexactly(int.from_bytes(head[2:], "big"))
        except TimeoutError:
            raise
        except (OSError, asyncio.IncompleteReadError):
            return b""

    async def associate(self, rq: AssociateRQ | None = None) -> bytes:
        """Ask for the association; return the answer's PDU."""
        await self.send(encode_pdu(rq or associate_rq()))
        return await self.read_pdu()


@asynccontextmanager
async def tls_peer(port: int, context: ssl.SSLContext) -> AsyncIterator[TlsPeer]:
    """Connect. Raises OSError (ssl.SSLError is one) if the handshake fails on this side."""
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
    try:
        yield TlsPeer(reader, writer)
    finally:
        writer.transport.abort()
