"""The application entity, at the path that programs import.

The code is router/api/ae.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import ae

if TYPE_CHECKING:
    from router.api.ae import *  # noqa: F403

sys.modules[__name__] = ae
