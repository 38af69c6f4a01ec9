"""SOP classes by name, at the path that programs import.

The code is router/api/sop_class.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import sop_class

if TYPE_CHECKING:
    from router.api.sop_class import *  # noqa: F403
    from router.api.sop_class import SOPClass

    def __getattr__(name: str) -> SOPClass: ...


sys.modules[__name__] = sop_class
