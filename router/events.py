"""Events and their handlers, at the path that programs import.

The code is router/api/events.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import events

if TYPE_CHECKING:
    from router.api.events import *  # noqa: F403

sys.modules[__name__] = events
