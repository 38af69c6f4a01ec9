"""Ready-made handlers, at the path that programs import.

The code is router/api/handlers.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import handlers

if TYPE_CHECKING:
    from router.api.handlers import *  # noqa: F403

sys.modules[__name__] = handlers
