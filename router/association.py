"""Associations, at the path that programs import.

The code is router/api/association.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import association

if TYPE_CHECKING:
    from router.api.association import *  # noqa: F403

sys.modules[__name__] = association
