"""DIMSE primitives, at the path that programs import.

The code is router/api/dimse_primitives.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import dimse_primitives

if TYPE_CHECKING:
    from router.api.dimse_primitives import *  # noqa: F403

sys.modules[__name__] = dimse_primitives
