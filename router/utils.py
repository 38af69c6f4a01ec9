"""Checks and conversions, at the path that programs import.

The code is router/api/utils.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import utils

if TYPE_CHECKING:
    from router.api.utils import *  # noqa: F403

sys.modules[__name__] = utils
