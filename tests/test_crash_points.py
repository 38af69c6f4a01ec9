"""Crash points: absent without an order, exact with one, each name used once in the router."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import router
from router import crash_points
from router.crash_points import POINTS, VARIABLE, Order, after, before, read_order, within
from router.errors import RouterError
from router.spool.disk import Disk

PLACE = re.compile(r'crash_points\.(?:before|after|within|reached)\(\s*"([^"]+)"')


def test_without_the_variable_a_decorated_function_is_the_function_itself() -> None:
    def work() -> int:
        return 1

    assert before("ticket.taken")(work) is work
    assert after("ticket.taken")(work) is work
    assert within("send.middle")(work) is work
    assert not hasattr(Disk.sync, "__wrapped__")
    crash_points.reached("config.swap")


def test_another_points_order_changes_nothing() -> None:
    def work() -> int:
        return 1

    assert before("ticket.taken", order=Order("sync.after", None))(work) is work


def test_every_point_of_the_table_stands_at_one_place_in_the_router() -> None:
    """But for the mark, to which deliveries past the queue come as well."""
    files = Path(router.__file__).parent.rglob("*.py")
    places = [name for file in files for name in PLACE.findall(file.read_text())]
    assert sorted(places) == sorted([*POINTS, "mark.before"])


def test_an_order_is_carried_out_at_the_time_it_names_and_once(tmp_path: Path) -> None:
    order = read_order(f"ticket.taken pause:0 3 {tmp_path / 'flag'}")
    assert order is not None
    work = before("ticket.taken", order=order)(lambda: None)
    work()
    work()
    assert not (tmp_path / "flag").exists()
    work()
    assert (tmp_path / "flag").exists()


def test_a_flag_that_is_there_already_protects_the_successor(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    order = Order("ticket.taken", None, flag=str(flag))
    before("ticket.taken", order=order)(lambda: None)()  # and this process lives


def test_after_reaches_the_point_only_when_the_function_returns(tmp_path: Path) -> None:
    order = Order("segment.rotate", 0.0, flag=str(tmp_path / "flag"))

    def fail() -> None:
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        after("segment.rotate", order)(fail)()
    assert order.reached == 0
    assert after("segment.rotate", order)(lambda: 5)() == 5
    assert order.reached == 1


def test_within_reaches_the_point_between_the_halves_of_each_buffer() -> None:
    order = Order("send.middle", 0.0, at=2)
    buffers = within("send.middle", order)(lambda: [b"abcd", b"efgh"])()
    pieces = []
    for piece in buffers:
        pieces.append((bytes(piece), order.reached))
    assert pieces == [(b"ab", 0), (b"cd", 1), (b"ef", 1), (b"gh", 2)]


@pytest.mark.parametrize("text", ["sync.after", "sync.after die", "sync.after pause:x", "nowhere kill"])
def test_a_value_that_says_nothing_useful_is_refused(text: str) -> None:
    with pytest.raises(RouterError):
        read_order(text)


def test_the_environment_alone_makes_a_process_kill_itself_in_the_middle_of_a_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = (
        "import pathlib, sys; from router.spool.disk import Disk; d = Disk();"
        "f = d.create(pathlib.Path(sys.argv[1])); d.write(f, [b'01'], 2, 0);"
        "d.write(f, [b'2345', b'6789'], 8, 2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, VARIABLE: "append.middle kill 2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert VARIABLE in done.stderr
    assert path.read_bytes() == b"012345"
