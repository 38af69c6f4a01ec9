"""The chaos proxy does what it says, where it says, and the same again for the same seed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.chaos_proxy import DOWN, KINDS, UP, Fault, Plan, chaos_proxy

DATA = bytes(range(256)) * 40
WAIT_S = 60


@contextmanager
def echo_server() -> Iterator[int]:
    """Serve connections that get back what they send, and an end for an end."""

    def echo(sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(1 << 16):
                    sock.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def through(fault: Fault) -> tuple[bytes, str]:
    """Send DATA through the fault and back; return what came back, and how it ended."""
    with echo_server() as target, chaos_proxy(target, Plan(1, fixed=fault)) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as sock:
            came = b""
            try:
                sock.sendall(DATA)
                sock.shutdown(socket.SHUT_WR)
                while data := sock.recv(1 << 16):
                    came += data
            except ConnectionError:
                return came, "reset"
            return came, "end"


@pytest.mark.parametrize("kind", ["pass", "delay", "throttle", "dribble"])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_slow_kinds_change_no_octet(kind: str, direction: str) -> None:
    assert through(Fault(kind, direction, 1000, 0.01, 1 << 20)) == (DATA, "end")


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_corrupt_turns_one_bit_at_the_place_it_names(direction: str) -> None:
    came, ended = through(Fault("corrupt", direction, 1234))
    assert ended == "end"
    assert [n for n in range(len(DATA)) if came[n] != DATA[n]] == [1234]
    assert (came[1234] ^ DATA[1234]).bit_count() == 1


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_no_more_than_so_many_octets_pass_a_cut(kind: str, direction: str) -> None:
    came, _ = through(Fault(kind, direction, 777))
    assert DATA.startswith(came)
    assert len(came) <= 777


def test_a_half_close_ends_one_direction_and_lets_the_other_finish() -> None:
    assert through(Fault("half_close", UP, 777)) == (DATA[:777], "end")


def test_a_stalled_connection_passes_nothing_more_until_it_is_dropped() -> None:
    with echo_server() as target, chaos_proxy(target, Plan(1, fixed=Fault("stall", UP, 500))) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as sock:
            sock.sendall(DATA)
            came = b""
            while len(came) < 500:
                came += sock.recv(1 << 16)
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.settimeout(WAIT_S)
            proxy.drop_all()
            assert sock.recv(1) == b""
            assert came == DATA[:500]


def test_the_seed_alone_decides_what_a_connection_meets() -> None:
    plan, again, other = Plan(5), Plan(5), Plan(6)
    drawn = [plan.fault(number) for number in range(1, 200)]
    assert [again.fault(number) for number in range(199, 0, -1)] == drawn[::-1]
    assert [other.fault(number) for number in range(1, 200)] != drawn
    assert {fault.kind for fault in drawn} == set(KINDS)
    assert {fault.direction for fault in drawn} == {UP, DOWN}
    assert min(fault.at_bytes for fault in drawn) < 10
    assert max(fault.at_bytes for fault in drawn) > 1 << 16


def test_what_was_done_is_recorded_with_its_seed() -> None:
    with echo_server() as target, chaos_proxy(target, Plan(9)) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as sock:
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1)
        assert proxy.done == [(1, Plan(9).fault(1))]
        assert proxy.describe().startswith("seed 9, 1 connections")


def test_calm_ends_the_faults() -> None:
    with (
        echo_server() as target,
        chaos_proxy(target, Plan(1, fixed=Fault("cut"))) as proxy,
    ):
        proxy.calm()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as sock:
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
