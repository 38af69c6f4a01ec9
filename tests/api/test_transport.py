"""Servers: addresses, TLS, who is connected, and the end of them."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from typing import Any

import pytest

from router.api.address import AddressInformation
from tests.api.conftest import Pair
from tests.support.certificates import client_context, server_context
from tests.support.datasets import CT, VERIFICATION, instance


def test_associations_in_tls(pair: Pair) -> None:
    server = pair.serve(
        [CT], [(pair.scp.evt.EVT_C_STORE, lambda event: 0x0000)], ssl_context=server_context()
    )
    assoc = pair.associate(server, [CT], tls_args=(client_context(), "localhost"))
    assert assoc.is_established
    assert assoc.send_c_store(instance(pixel_bytes=600_000)).Status == 0x0000
    assoc.release()
    assert assoc.is_released


def test_a_wrong_certificate_is_an_abort_and_not_an_exception(ours: Pair) -> None:
    import ssl

    server = ours.serve([VERIFICATION], ssl_context=server_context())
    assoc = ours.associate(server, [VERIFICATION], tls_args=(ssl.create_default_context(), "localhost"))
    assert assoc.is_aborted
    assert not ours.associate(server, [VERIFICATION]).is_established


def test_a_silent_tls_client_does_not_delay_the_next(ours: Pair) -> None:
    server = ours.serve([VERIFICATION], ssl_context=server_context())
    with closing(socket.create_connection(server.server_address)):
        assoc = ours.associate(server, [VERIFICATION], tls_args=(client_context(), "localhost"))
        assert assoc.send_c_echo().Status == 0x0000


def test_ipv6_and_bind_address(ours: Pair) -> None:
    ae = ours.scp.AE()
    ae.add_supported_context(VERIFICATION)
    server = ae.start_server(("::1", 0), block=False)
    requestor = ours.scu.AE()
    requestor.add_requested_context(VERIFICATION)
    port = server.server_address[1]
    with requestor.associate("::1", port, bind_address=("::1", 0)) as assoc:
        assert assoc.send_c_echo().Status == 0
        assert assoc.acceptor.address_info.is_ipv6
    with requestor.associate(("::1", 0, 0), port) as assoc:
        assert assoc.send_c_echo().Status == 0
    ae.shutdown()
    server = ours.serve([VERIFICATION])
    with ours.associate(server, [VERIFICATION], bind_address=("127.0.0.2", 0)) as assoc:
        assert assoc.requestor.address == "127.0.0.2"
        assert server.active_associations[0].requestor.address == "127.0.0.2"


def test_the_list_of_active_associations_follows_what_happens(pair: Pair) -> None:
    left = threading.Event()
    server = pair.serve([VERIFICATION], [(pair.scp.evt.EVT_RELEASED, lambda event: left.set())])
    assoc = pair.associate(server, [VERIFICATION])
    assert len(server.active_associations) == 1
    assert server.ae.active_associations == server.active_associations
    acceptor = server.active_associations[0]
    assoc.release()
    assert left.wait(10)
    acceptor.join(10)
    assert server.active_associations == []
    assert server.ae.active_associations == []


def test_shutdown_stops_accepting_and_leaves_open_associations_alone(pair: Pair) -> None:
    server = pair.serve([VERIFICATION])
    address = server.server_address
    assoc = pair.associate(server, [VERIFICATION])
    server.shutdown()
    assert assoc.send_c_echo().Status == 0x0000
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address)


def test_shutdown_of_the_ae_aborts_everything(ours: Pair) -> None:
    server = ours.serve([VERIFICATION])
    assoc = ours.associate(server, [VERIFICATION])
    server.ae.shutdown()
    assoc.join(10)
    assert assoc.is_aborted
    assert server.active_associations == []


def test_drain_waits_for_what_is_open(ours: Pair) -> None:
    server = ours.serve([VERIFICATION])
    assoc = ours.associate(server, [VERIFICATION])
    assert not server.drain(0.05)
    threading.Timer(0.05, assoc.release).start()
    assert server.drain(10)


def test_a_server_may_be_made_and_run_by_hand(ours: Pair) -> None:
    ae = ours.scp.AE("MADE")
    ae.add_supported_context(VERIFICATION)
    server = ae.make_server(("127.0.0.1", 0), ae_title="OTHER")
    assert server.ae_title == "OTHER"
    running = threading.Thread(target=server.serve_forever)
    running.start()
    assert ours.associate(server, [VERIFICATION]).send_c_echo().Status == 0
    server.shutdown()
    running.join(10)
    assert not running.is_alive()


def test_handlers_of_a_server_are_those_of_its_open_associations(ours: Pair) -> None:
    seen: list[Any] = []
    server = ours.serve([VERIFICATION])
    assoc = ours.associate(server, [VERIFICATION])
    evt = ours.scp.evt
    server.bind(evt.EVT_DIMSE_RECV, seen.append)
    assert (seen.append, None) in server.get_handlers(evt.EVT_DIMSE_RECV)
    assert evt.EVT_DIMSE_RECV in server.get_events()
    assoc.send_c_echo()
    assert len(seen) == 1


def test_two_servers_cannot_have_one_address(ours: Pair) -> None:
    server = ours.serve([VERIFICATION])
    with pytest.raises(OSError, match="in use"):
        server.ae.make_server(server.server_address)


def test_addresses() -> None:
    four = AddressInformation.from_tuple(("127.0.0.1", 104))
    assert (four.is_ipv4, four.as_tuple) == (True, ("127.0.0.1", 104))
    six = AddressInformation.from_addr_port(("fe80::1", 2, 3), 104)
    assert (six.is_ipv6, six.as_tuple) == (True, ("fe80::1", 104, 2, 3))
    assert six.address_family == socket.AF_INET6
    for wrong in (("x",), ("x", "y"), "x"):
        with pytest.raises(TypeError):
            AddressInformation.from_tuple(wrong)  # type: ignore[arg-type]
