"""Datasets to bytes and back, at the path that programs import.

The code is router/api/dsutils.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import dsutils

if TYPE_CHECKING:
    from router.api.dsutils import *  # noqa: F403

sys.modules[__name__] = dsutils
