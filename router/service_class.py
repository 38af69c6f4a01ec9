"""Service classes, at the path that programs import.

The code is router/api/service_class.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import service_class

if TYPE_CHECKING:
    from router.api.service_class import *  # noqa: F403

sys.modules[__name__] = service_class
