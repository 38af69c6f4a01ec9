"""Presentation contexts, at the path that programs import.

The code is router/api/presentation.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import presentation

if TYPE_CHECKING:
    from router.api.presentation import *  # noqa: F403

sys.modules[__name__] = presentation
