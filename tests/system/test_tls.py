"""TLS with real peers on both sides: DCMTK's tools and openssl's; octets arrive as they were sent."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.peers.process import HOST, free_port
from tests.support.corpus import write_synthetic
from tests.support.dcmtk import dcmtk_storescp, dcmtk_storescu, echoscu, file_identity
from tests.support.fast_peers import fast_sink, wait_until
from tests.support.pki import Identity, pki
from tests.support.router_process import RouterProcess, router_process

pytestmark = [pytest.mark.interop, pytest.mark.system]

SUCCESS = "Received Echo Response (Success)"
SAID_S = 15.0


def listener_tls(port: int, identity: Identity | None = None, **settings: object) -> dict[str, object]:
    """Return the table [listener.tls]."""
    identity = identity or pki().router
    return {
        "host": HOST, "port": port, "certificate": str(identity.certificate), "key": str(identity.key),
        "ca": str(pki().ca.certificate), **settings,
    }  # fmt: skip


def destination_tls(identity: Identity | None = None, **settings: object) -> dict[str, object]:
    """Return the table [destinations.X.tls]."""
    identity = identity or pki().router
    return {
        "ca": str(pki().ca.certificate), "certificate": str(identity.certificate), "key": str(identity.key),
        "name": "localhost", **settings,
    }  # fmt: skip


def dcmtk_tls(identity: Identity, ca: Path | None = None) -> list[str]:
    """Return the options of DCMTK's tools for TLS with a certificate."""
    trusted = str(ca or pki().ca.certificate)
    return ["+tls", str(identity.key), str(identity.certificate), "+cf", trusted]


def s_client(port: int, *options: str, send: bytes = b"") -> str:
    """Run openssl s_client; return what it says."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{HOST}:{port}", *options],
        input=send, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    return (done.stdout + done.stderr).decode(errors="replace")


def handshakes(router: RouterProcess, kind: str) -> float:
    return router.metric("dicom_router_tls_handshakes_total", handshake=kind)


def test_octets_are_the_same_in_tls_on_both_sides(tmp_path: Path, require_peer: Callable[..., None]) -> None:
    require_peer("storescu", "storescp")
    files = [write_synthetic(tmp_path / f"{number}.dcm", run=3, number=number).path for number in range(20)]
    sent = {file_identity(path) for path in files}
    tls_port = free_port()
    archive_options = dcmtk_tls(pki().ca.issue("archive"))
    with dcmtk_storescp(tmp_path, options=archive_options) as archive:
        destination = {"port": archive.port}
        tables = {"listener.tls": listener_tls(tls_port), "destinations.ARCHIVE.tls": destination_tls()}
        with router_process(tmp_path, {"ARCHIVE": destination}, **tables) as router:
            dcmtk_storescu(tls_port, files, dcmtk_tls(pki().sender))
            wait_until(
                lambda: len(archive.files()) >= len(files), 60, lambda: f"{len(archive.files())} arrived"
            )
            assert archive.received() == sent
            plain = write_synthetic(tmp_path / "plain.dcm", run=4, number=0).path
            dcmtk_storescu(router.port, [plain])  # plain in, TLS out
            wait_until(lambda: file_identity(plain) in archive.received(), 60, lambda: "it has not arrived")
            assert "tls=TLSv1." in router.log()
            router.stop()


def test_dcmtk_peers_without_the_right_certificate_are_told(
    tmp_path: Path, require_peer: Callable[..., None]
) -> None:
    require_peer("echoscu")
    port = free_port()
    with router_process(tmp_path, {}, rules=[], **{"listener.tls": listener_tls(port)}) as router:
        assert SUCCESS in echoscu(port, dcmtk_tls(pki().sender))
        for identity in (pki().stranger, pki().expired, pki().server_only):
            assert SUCCESS not in may_fail(port, dcmtk_tls(identity))
        assert SUCCESS not in may_fail(port, ["+tla", "-ic"])
        assert SUCCESS not in may_fail(port, [])
        assert SUCCESS not in may_fail(router.port, dcmtk_tls(pki().sender))
        wait_until(lambda: handshakes(router, "certificate") >= 4, SAID_S, router.log)
        wait_until(lambda: handshakes(router, "plain") >= 1, SAID_S, router.log)
        assert SUCCESS in echoscu(router.port)
        assert "tls=failed" in router.log()


def test_openssl_gets_no_old_version_and_no_weak_suite(tmp_path: Path) -> None:
    port = free_port()
    mine = ["-cert", str(pki().sender.certificate), "-key", str(pki().sender.key)]
    weak = "ALL:eNULL:@SECLEVEL=0"
    with router_process(tmp_path, {}, rules=[], **{"listener.tls": listener_tls(port)}) as router:
        for version in ("-tls1_2", "-tls1_3"):
            assert "Verify return code: 0 (ok)" in s_client(
                port, version, *mine, "-CAfile", str(pki().ca.certificate)
            )
        for options in (
            ["-tls1", "-cipher", weak],
            ["-tls1_1", "-cipher", weak],
            ["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"],
            ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:AES128-SHA256"],
        ):
            said = s_client(port, *options, *mine)
            assert "Cipher is (NONE)" in said, said
            assert "alert" in said, said
        wait_until(lambda: handshakes(router, "protocol") >= 4, SAID_S, router.log)
        assert "secure renegotiation IS NOT" not in s_client(port, "-tls1_2", *mine, send=b"R\n")
        assert SUCCESS in echoscu(router.port)


def test_half_a_hello_ends_by_the_deadline_while_others_are_served(
    tmp_path: Path, require_peer: Callable[..., None]
) -> None:
    require_peer("echoscu")
    port = free_port()
    with router_process(
        tmp_path, {}, rules=[], **{"listener.tls": listener_tls(port, handshake_s=2.0)}
    ) as router:
        halves = [socket.create_connection((HOST, port)) for _ in range(50)]
        for half in halves:
            half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert SUCCESS in echoscu(port, dcmtk_tls(pki().sender))
        for half in halves:
            half.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert half.recv(100) == b""
            half.close()
        wait_until(lambda: handshakes(router, "timeout") == 50, SAID_S, router.log)
        log = router.log_path.read_text()
        assert log.count("cause=timeout") <= 20  # a peer's lines a minute
        wait_until(
            lambda: router.metric("dicom_router_pending_connections") == 0, SAID_S, lambda: "some still pend"
        )


def test_sighup_reads_renewed_certificates(tmp_path: Path, require_peer: Callable[..., None]) -> None:
    require_peer("echoscu")
    port = free_port()
    mine = Identity(tmp_path / "mine.crt", tmp_path / "mine.key")

    def install(identity: Identity) -> None:
        shutil.copy(identity.certificate, mine.certificate)
        shutil.copy(identity.key, mine.key)

    def reload_says(words: str) -> None:
        router.reload()
        wait_until(lambda: words in router.log(), SAID_S, router.log)

    install(pki().router)
    with router_process(tmp_path, {}, rules=[], **{"listener.tls": listener_tls(port, mine)}) as router:
        trusts_other = dcmtk_tls(pki().sender, pki().other_ca.certificate)
        assert SUCCESS in echoscu(port, dcmtk_tls(pki().sender))
        shutil.copy(pki().sender.key, mine.key)
        reload_says("is not the key of")
        assert SUCCESS in echoscu(port, dcmtk_tls(pki().sender))
        install(pki().stranger)
        reload_says("next_association=certificates")
        assert SUCCESS not in may_fail(port, dcmtk_tls(pki().sender))
        assert SUCCESS in echoscu(port, trusts_other)
        assert router.process is not None
        router.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "nothing to apply" in router.log(), SAID_S, router.log)


def test_a_destination_in_tls_is_never_spoken_to_in_plain(
    tmp_path: Path, require_peer: Callable[..., None]
) -> None:
    """Plain and untrusted archives get nothing, not an association request; it waits until one is right."""
    require_peer("storescp", "storescu")
    image = write_synthetic(tmp_path / "one.dcm", run=5, number=0).path
    with fast_sink(tmp_path) as plain_archive:
        tables = {"destinations.ARCHIVE.tls": destination_tls()}
        with router_process(
            tmp_path, {"ARCHIVE": {"port": plain_archive.port, "connect_s": 2}}, **tables
        ) as router:

            def failures(**labels: str) -> float:
                return router.metric("dicom_router_delivery_errors_total", destination="ARCHIVE", **labels)

            dcmtk_storescu(router.port, [image])
            wait_until(lambda: failures() >= 2, 60, router.log)
            assert plain_archive.received() == []
            assert set(plain_archive.endings().values()) <= {"closed"}  # connections, and no association
            stranger = dcmtk_tls(pki().stranger)
            with dcmtk_storescp(tmp_path, "untrusted", stranger) as untrusted:
                before = failures(error="tls")
                router.tables["destinations.ARCHIVE"]["port"] = untrusted.port
                router.reload()
                wait_until(lambda: failures(error="tls") >= before + 2, 60, router.log)
                assert untrusted.files() == []
            with dcmtk_storescp(tmp_path, "pinned", stranger) as pinned:
                router.tables["destinations.ARCHIVE"]["port"] = pinned.port
                tls = router.tables["destinations.ARCHIVE.tls"]
                del tls["ca"]
                tls["certificate_fingerprints"] = [pki().sender.fingerprint]
                before = failures(error="tls")
                router.reload()
                wait_until(lambda: failures(error="tls") >= before + 2, 60, router.log)
                assert pinned.files() == []
            # DCMTK asks for our certificate too, by its CA: another archive that trusts ours.
            trusting = dcmtk_tls(pki().stranger, pki().ca.certificate)
            with dcmtk_storescp(tmp_path, "right", trusting) as right:
                router.tables["destinations.ARCHIVE"]["port"] = right.port
                tls["certificate_fingerprints"] = [pki().stranger.fingerprint]
                router.reload()
                wait_until(lambda: right.received() == {file_identity(image)}, 60, router.log)


def may_fail(port: int, options: list[str]) -> str:
    """Run echoscu, which may end with an error; return its output."""
    try:
        return echoscu(port, ["--timeout", "10", "-ta", "10", "-td", "10", *options])
    except AssertionError as error:
        return str(error)
