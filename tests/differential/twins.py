"""What the differential tests share: both codecs, the outcome of a call, and ways to cut a stream."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

QUICK = settings(max_examples=150, deadline=None)


def outcome(function: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    """Return the result, or the error's class and arguments: what must be equal between the twins."""
    try:
        return ("result", function(*args))
    except (ValueError, TypeError) as error:
        return (type(error).__name__, error.args if isinstance(error, ValueError) else ())


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut data at the given positions, those outside ignored."""
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def octet_by_octet(data: bytes) -> list[bytes]:
    """Cut data into single octets."""
    return pieces(data, list(range(len(data))))


@st.composite
def damaged(draw: st.DrawFn, octets: st.SearchStrategy[bytes]) -> bytes:
    """Octets as they are, or with one of them changed, or cut short."""
    data = bytearray(draw(octets))
    kind = draw(st.sampled_from(["whole", "changed", "short"]))
    if data and kind == "changed":
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    elif kind == "short":
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)
