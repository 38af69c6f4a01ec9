"""DIMSE messages, at the path that programs import.

The code is router/api/dimse_messages.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import dimse_messages

if TYPE_CHECKING:
    from router.api.dimse_messages import *  # noqa: F403
    from router.api.dimse_messages import DIMSEMessage

    def __getattr__(name: str) -> type[DIMSEMessage]: ...


sys.modules[__name__] = dimse_messages
