"""The one switch between the load tool's compiled hot path and its pure-Python twin.

Compiled where it is built; environment ROUTER_CODEC=reference forces the twin.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING


def _is_compiled() -> bool:
    if os.environ.get("ROUTER_CODEC") == "reference":
        return False
    try:
        importlib.import_module("_codec.load")
    except ImportError:
        return False
    return True


IS_COMPILED = _is_compiled()

if TYPE_CHECKING or IS_COMPILED:
    from _codec.load import (
        ANSWERED_CELL,
        CELLS,
        HISTOGRAM_CELLS,
        NUMBER_DIGITS,
        UID_BYTES,
        WINDOW_MAX,
        Image,
        Lane,
        Skimmer,
    )
else:
    from router.bench.reference import (
        ANSWERED_CELL,
        CELLS,
        HISTOGRAM_CELLS,
        NUMBER_DIGITS,
        UID_BYTES,
        WINDOW_MAX,
        Image,
        Lane,
        Skimmer,
    )

__all__ = [
    "ANSWERED_CELL",
    "CELLS",
    "HISTOGRAM_CELLS",
    "IS_COMPILED",
    "NUMBER_DIGITS",
    "UID_BYTES",
    "WINDOW_MAX",
    "Image",
    "Lane",
    "Skimmer",
]
