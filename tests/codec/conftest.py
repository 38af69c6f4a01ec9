"""Every test of this room runs on the compiled codec and on its twin."""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace

import pytest

MODULES = ("command", "dataset", "framing", "pdata", "ring", "structure")


def load(name: str) -> SimpleNamespace:
    """Return the modules of the codec called compiled or reference."""
    package = {"compiled": "_codec", "reference": "router.wire.reference"}[name]
    modules: dict[str, ModuleType] = {
        module: importlib.import_module(f"{package}.{module}") for module in MODULES
    }
    return SimpleNamespace(name=name, **modules)


@pytest.fixture(params=["compiled", "reference"])
def codec(request: pytest.FixtureRequest) -> SimpleNamespace:
    return load(request.param)
