"""Association control, at the path that programs import.

The code is router/api/acse.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import acse

if TYPE_CHECKING:
    from router.api.acse import *  # noqa: F403

sys.modules[__name__] = acse
