"""Pins which sockets leave the system's paced congestion control, and which do not."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from router.drivers import near_peers
from router.drivers.connect import connected_socket, open_transport
from router.drivers.near_peers import NEAR_PEERS, NearPeers
from tests.support.scripted_scp import run

FAR_AWAY = "192.0.2.7"
BBR = b"bbr\0"


class FakeSocket:
    """A socket whose kernel says what the test wants it to say."""

    def __init__(self, control: bytes = BBR, round_trip_us: int = 0) -> None:
        self.control = control
        self.round_trip_us = round_trip_us

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        if option == socket.TCP_CONGESTION:
            return self.control
        return struct.pack("68xI", self.round_trip_us)[:size]

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert option == socket.TCP_CONGESTION
        self.control = value


def prepared(peers: NearPeers, address: str, control: bytes = BBR) -> bytes:
    sock: Any = FakeSocket(control)
    peers.prepare(sock, address)
    return bytes(sock.control)


def test_a_peer_measured_near_is_not_paced_the_next_time() -> None:
    peers = NearPeers()
    assert prepared(peers, FAR_AWAY) == BBR
    measured: Any = FakeSocket(round_trip_us=near_peers.NEAR_ROUND_TRIP_US - 1)
    peers.learn(measured, FAR_AWAY)
    assert prepared(peers, FAR_AWAY) == near_peers.NEAR_CONGESTION_CONTROL


@pytest.mark.parametrize("round_trip_us", [near_peers.NEAR_ROUND_TRIP_US, 0])
def test_a_peer_that_is_far_again_or_not_measured_is_left_to_the_system(round_trip_us: int) -> None:
    peers = NearPeers()
    for microseconds in (10, round_trip_us):
        measured: Any = FakeSocket(round_trip_us=microseconds)
        peers.learn(measured, FAR_AWAY)
    assert prepared(peers, FAR_AWAY) == BBR


def test_what_does_not_pace_is_left_alone() -> None:
    assert prepared(NearPeers(), "127.0.0.1", b"cubic\0") == b"cubic\0"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_near_without_a_measurement(address: str) -> None:
    assert prepared(NearPeers(), address) == near_peers.NEAR_CONGESTION_CONTROL


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_peers, "PEERS_MAX", 2)
    peers = NearPeers()
    for last in range(3):
        measured: Any = FakeSocket(round_trip_us=10)
        peers.learn(measured, f"192.0.2.{last}")
    assert prepared(peers, "192.0.2.0") == BBR
    assert prepared(peers, "192.0.2.2") == near_peers.NEAR_CONGESTION_CONTROL


def test_a_kernel_that_refuses_or_says_nothing_changes_nothing() -> None:
    class Refusing(FakeSocket):
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            if option == socket.TCP_INFO:
                return b""
            raise OSError("not here")

    peers = NearPeers()
    refusing: Any = Refusing()
    peers.learn(refusing, FAR_AWAY)
    peers.prepare(refusing, "127.0.0.1")
    assert refusing.control == BBR


@pytest.fixture
def near_address(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A listening socket on loopback, and what a connection to it has taught, and no more."""
    monkeypatch.setattr(NEAR_PEERS, "_addresses", set())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


def test_the_event_loop_measures_whom_it_connects_to(near_address: tuple[str, int]) -> None:
    async def test() -> None:
        (await connected_socket(*near_address, None)).close()

    run(test())
    assert NEAR_PEERS._addresses == {"127.0.0.1"}


def test_the_blocking_driver_measures_whom_it_connects_to(near_address: tuple[str, int]) -> None:
    open_transport(*near_address, 5.0).sock.close()
    assert NEAR_PEERS._addresses == {"127.0.0.1"}


def test_an_address_that_refuses_says_so_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def test() -> None:
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            await connected_socket("127.0.0.1", port, None)

    run(test())


def test_the_zone_of_an_address_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    targets: list[Any] = []

    def connect(_: socket.socket, target: Any) -> bool:
        targets.append(target)
        return True

    monkeypatch.setattr("router.drivers.connect._is_connected", connect)

    async def test() -> None:
        (await connected_socket("fe80::1%lo", 104, None)).close()

    run(test())
    assert targets == [("fe80::1", 104, 0, socket.if_nametoindex("lo"))]


def test_a_name_is_looked_up(near_address: tuple[str, int]) -> None:
    async def test() -> None:
        sock = await connected_socket("localhost", near_address[1], None)
        assert sock.getpeername() == near_address
        sock.close()

    run(test())
