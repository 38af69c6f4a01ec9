"""Validators of values, at the path that programs import.

The code is router/api/validators.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from router.api import validators

if TYPE_CHECKING:
    from router.api.validators import *  # noqa: F403

sys.modules[__name__] = validators
