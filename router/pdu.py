"""PDUs, at the path that programs import.

The code is router/api/pdu.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import pdu

if TYPE_CHECKING:
    from router.api.pdu import *  # noqa: F403

sys.modules[__name__] = pdu
