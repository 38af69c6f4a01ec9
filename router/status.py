"""Statuses, at the path that programs import.

The code is router/api/status.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import status

if TYPE_CHECKING:
    from router.api.status import *  # noqa: F403
    from router.api.status import StatusDictType

    def __getattr__(name: str) -> StatusDictType: ...


sys.modules[__name__] = status
