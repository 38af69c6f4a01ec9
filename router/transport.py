"""Servers and addresses, at the path that programs import.

The code is router/api/transport.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import transport

if TYPE_CHECKING:
    from router.api.transport import *  # noqa: F403

sys.modules[__name__] = transport
