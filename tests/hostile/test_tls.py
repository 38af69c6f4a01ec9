"""TLS towards our SCP: who comes in, who does not, and that a failed handshake costs nothing but a count."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest

from router.config.load import parse_config
from router.wire.pdus import AssociateRQ, encode_pdu
from tests.support.live_acceptor import CONFIG, LiveAcceptor, live_acceptor
from tests.support.pki import Identity, pki
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    associate_rq,
    command,
    dataset_of,
    echo_rq,
    raw_peer,
    store,
)
from tests.support.scripted_scp import run, until
from tests.support.tls_peer import client_context, tls_peer

REJECTED_CALLING = bytes.fromhex("0300 00000004 00 01 01 03")

BOUND_SOURCE = """
[sources.CT]
calling_ae_titles = ["CT1"]
certificate_names = ["CT1.example"]
"""


def tls_lines(identity: Identity | None = None, **settings: object) -> str:
    """Return the lines of [listener.tls]."""
    identity = identity or pki().router
    lines = {"certificate": identity.certificate, "key": identity.key, "ca": pki().ca.certificate, **settings}
    return "\n".join(
        f"{key} = {value}" if isinstance(value, int | float) else f'{key} = "{value}"'
        for key, value in lines.items()
    )


def handshakes(live: LiveAcceptor, kind: str) -> int:
    """Return how many handshakes ended so."""
    page = live.child.page
    return int(page.cells[page.slot("tls_handshakes", handshake=kind)])


async def echo_in_tls(live: LiveAcceptor, context: ssl.SSLContext, rq: AssociateRQ | None = None) -> None:
    """An honest peer must be served."""
    async with tls_peer(live.tls_port, context) as peer:
        answer = await peer.associate(rq)
        assert answer[:1] == b"\x02", answer[:16]
        await peer.send(command(ECHO_CONTEXT, echo_rq(1)))
        assert (await peer.read_pdu())[:1] == b"\x04"
        await peer.send(RELEASE_RQ)
        assert await peer.read_pdu() == RELEASE_RP


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_sender_with_a_certificate_stores_in_tls(
    tmp_path: Path, newest: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    payload = bytes(range(256)) * 4000

    async def test() -> None:
        async with live_acceptor(tmp_path, tls=tls_lines()) as live:
            async with tls_peer(live.tls_port, client_context(pki().sender, newest=newest)) as peer:
                assert (await peer.associate())[:1] == b"\x02"
                await peer.send(store(1, "1.2.3", payload))
                assert (await peer.read_pdu())[:1] == b"\x04"
                await peer.send(RELEASE_RQ)
                assert await peer.read_pdu() == RELEASE_RP
            assert [dataset for _, dataset in live.stored] == [dataset_of("1.2.3", payload)]
            await live.echo()  # plain, beside it
            assert handshakes(live, "done") == 1

    caplog.set_level(logging.INFO)
    run(test())
    assert f" tls=TLSv1.{newest.name[-1]} instances=1 " in caplog.text


BAD = {
    "wrong-ca": ("certificate", lambda: client_context(pki().stranger)),
    "no-certificate": ("certificate", client_context),
    "expired": ("certificate", lambda: client_context(pki().expired)),
    "wrong-usage": ("certificate", lambda: client_context(pki().server_only)),
    "no-certificate-in-1.2": ("certificate", lambda: client_context(newest=ssl.TLSVersion.TLSv1_2)),
    "tls-1.1": (
        "protocol",
        lambda: client_context(pki().sender, newest=ssl.TLSVersion.TLSv1_1, suites="ALL:@SECLEVEL=0"),
    ),
    "tls-1.0": (
        "protocol",
        lambda: client_context(pki().sender, newest=ssl.TLSVersion.TLSv1, suites="ALL:@SECLEVEL=0"),
    ),
    "cbc": (
        "protocol",
        lambda: client_context(pki().sender, newest=ssl.TLSVersion.TLSv1_2, suites="ECDHE-ECDSA-AES128-SHA"),
    ),
    "null": (
        "protocol",
        lambda: client_context(
            pki().sender, newest=ssl.TLSVersion.TLSv1_2, suites="ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"
        ),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_peer_gets_no_association_and_costs_a_count(tmp_path: Path, case: str) -> None:
    kind, context = BAD[case]

    async def test() -> None:
        async with live_acceptor(tmp_path, tls=tls_lines()) as live:
            try:
                async with tls_peer(live.tls_port, context()) as peer:
                    # In TLS 1.3 a client is done before its certificate is looked at.
                    assert await peer.associate() == b""
            except OSError:
                pass
            await until(lambda: handshakes(live, kind) == 1)
            assert handshakes(live, "done") == 0
            await echo_in_tls(live, client_context(pki().sender))

    run(test())


@pytest.mark.parametrize(
    ("identity", "newest", "alert"),
    [
        ("stranger", ssl.TLSVersion.TLSv1_2, "ALERT_UNKNOWN_CA"),
        ("expired", ssl.TLSVersion.TLSv1_2, "ALERT_CERTIFICATE_EXPIRED"),
        ("sender", ssl.TLSVersion.TLSv1_1, "ALERT_PROTOCOL_VERSION"),
    ],
)
def test_a_failed_handshake_tells_the_peer_why(
    tmp_path: Path, identity: str, newest: ssl.TLSVersion, alert: str
) -> None:
    suites = "ALL:@SECLEVEL=0" if newest is ssl.TLSVersion.TLSv1_1 else ""
    context = client_context(getattr(pki(), identity), newest=newest, suites=suites)

    async def test() -> None:
        async with live_acceptor(tmp_path, tls=tls_lines()) as live:
            with pytest.raises(ssl.SSLError, match=alert):
                async with tls_peer(live.tls_port, context):
                    pass

    run(test())


@pytest.mark.parametrize(
    "octets", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)], ids=["silent", "half-hello"]
)
def test_half_a_handshake_is_closed_in_time_and_delays_nobody(tmp_path: Path, octets: bytes) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, tls=tls_lines(handshake_s=1.0)) as live:
            async with raw_peer(live.tls_port) as peer:
                await peer.send(octets)
                await echo_in_tls(live, client_context(pki().sender))
                await live.echo()
                assert await peer.read_until_closed() == b""
            assert handshakes(live, "timeout") == 1

    run(test())


def test_a_peer_that_leaves_in_the_handshake_is_forgotten(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, tls=tls_lines()) as live:
            async with raw_peer(live.tls_port) as peer:
                await peer.send(b"\x16\x03\x01")
            await until(lambda: handshakes(live, "closed") == 1)

    run(test())


@pytest.mark.parametrize(
    "octets", [encode_pdu(associate_rq()), b"GET / HTTP/1.0\r\n\r\n"], ids=["rq", "http"]
)
def test_plain_octets_on_the_tls_port_are_never_answered_in_plain(tmp_path: Path, octets: bytes) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, tls=tls_lines()) as live:
            async with raw_peer(live.tls_port) as peer:
                await peer.send(octets)
                assert (await peer.read_until_closed())[:1] in (b"", b"\x15")  # nothing, or a TLS alert
            await until(lambda: handshakes(live, "plain") == 1)

    run(test())


def test_tls_on_the_plain_port_is_a_stray_peer(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, tls=tls_lines()) as live:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with tls_peer(live.port, client_context(pki().sender)):
                    pass
            page = live.child.page
            await until(lambda: page.cells[page.slot("probes", listener="main", probe="stray")] == 1)
            await live.echo()

    run(test())


def test_an_ae_title_bound_to_a_certificate_is_taken_from_nobody_else(tmp_path: Path) -> None:
    rq = associate_rq(calling_ae_title="CT1")

    async def test() -> None:
        bound = live_acceptor(tmp_path, 'unknown_sources = "accept"', BOUND_SOURCE, tls=tls_lines())
        async with bound as live:
            await echo_in_tls(live, client_context(pki().sender), rq)
            async with tls_peer(live.tls_port, client_context(pki().router)) as peer:
                assert await peer.associate(rq) == REJECTED_CALLING
            async with raw_peer(live.port) as plain:
                assert await plain.associate(rq) == REJECTED_CALLING
            await live.echo()  # others are unknown, and accepted

    run(test())


def test_a_certificate_that_is_optional_may_be_left_out(tmp_path: Path) -> None:
    async def test() -> None:
        tls = tls_lines(client_certificates="optional")
        async with live_acceptor(tmp_path, 'unknown_sources = "accept"', BOUND_SOURCE, tls=tls) as live:
            await echo_in_tls(live, client_context())
            async with tls_peer(live.tls_port, client_context()) as peer:
                assert await peer.associate(associate_rq(calling_ae_title="CT1")) == REJECTED_CALLING
            try:
                async with tls_peer(live.tls_port, client_context(pki().stranger)) as peer:
                    assert await peer.associate() == b""
            except OSError:
                pass
            await until(lambda: handshakes(live, "certificate") == 1)

    run(test())


def test_a_reload_brings_other_certificates_and_leaves_associations_alone(tmp_path: Path) -> None:
    mine = Identity(tmp_path / "router.crt", tmp_path / "router.key")

    def install(identity: Identity) -> None:
        mine.certificate.write_bytes(identity.certificate.read_bytes())
        mine.key.write_bytes(identity.key.read_bytes())

    async def test() -> None:
        install(pki().router)
        async with live_acceptor(tmp_path / "spool", tls=tls_lines(mine)) as live:
            config = live.child.config
            async with tls_peer(live.tls_port, client_context(pki().sender)) as peer:
                assert (await peer.associate())[:1] == b"\x02"
                mine.key.write_text("no key")
                with pytest.raises(ssl.SSLError):
                    live.child.reload(config)
                await echo_in_tls(live, client_context(pki().sender))
                install(pki().stranger)
                live.child.reload(config)
                with pytest.raises(ssl.SSLCertVerificationError):
                    await echo_in_tls(live, client_context(pki().sender))
                await echo_in_tls(live, client_context(pki().sender, ca=pki().other_ca.certificate))
                await peer.send(RELEASE_RQ)
                assert await peer.read_pdu() == RELEASE_RP

    (tmp_path / "spool").mkdir()
    run(test())


def test_a_door_without_certificates_stays_shut_until_there_are_some(tmp_path: Path) -> None:
    mine = Identity(tmp_path / "router.crt", tmp_path / "router.key")

    async def test() -> None:
        async with live_acceptor(tmp_path / "spool", tls=tls_lines(mine)) as live:
            await live.echo()
            mine.certificate.write_bytes(pki().router.certificate.read_bytes())
            mine.key.write_bytes(pki().router.key.read_bytes())
            config = parse_config(
                CONFIG.format(
                    spool=tmp_path,
                    router="",
                    sources="",
                    limits="",
                    tls="[listener.tls]\nport = 0\n" + tls_lines(mine),
                )
            )
            live.child.reload(config)
            await echo_in_tls(live, client_context(pki().sender))
            live.fds_at_start += 1  # the reserve of the door that was opened later

    (tmp_path / "spool").mkdir()
    run(test())
