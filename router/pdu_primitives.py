"""Upper layer primitives and negotiation items, at the path that programs import.

The code is router/api/pdu_primitives.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import pdu_primitives

if TYPE_CHECKING:
    from router.api.pdu_primitives import *  # noqa: F403

sys.modules[__name__] = pdu_primitives
