"""The one switch: which codec is in use, and how it is forced."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from router.wire import codec

MODULES = ("command", "dataset", "framing", "pdata", "ring", "structure", "tally")
NOT_COMPARED = ("Lane", "ScatterWindow", "annotations", "TYPE_CHECKING")
"""A lane's twin is the general way, a window's is to be fed."""


def run(variable: str, *statements: str) -> subprocess.CompletedProcess[str]:
    code = "\n".join(
        [*statements, "from router.wire import codec", "print(codec.CODEC_NAME, codec.Ring.__module__)"]
    )
    environment = {**os.environ, "ROUTER_CODEC": variable}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("variable", "printed"),
    [
        ("", "compiled _codec.ring"),
        ("compiled", "compiled _codec.ring"),
        ("reference", "reference router.wire.reference.ring"),
    ],
)
def test_the_environment_forces_a_codec(variable, printed):
    assert run(variable).stdout.strip() == printed


NOT_BUILT = "import sys; sys.modules['_codec.ring'] = None"


def test_without_the_compiled_modules_the_twin_serves():
    assert run("", NOT_BUILT).stdout.split()[0] == "reference"


def test_a_forced_compiled_codec_that_is_not_built_is_an_error():
    ran = run("compiled", NOT_BUILT)
    assert ran.returncode != 0
    assert "ModuleNotFoundError" in ran.stderr or "ImportError" in ran.stderr


def test_an_unknown_choice_is_an_error():
    assert "ROUTER_CODEC=fast, allowed compiled or reference" in run("fast").stderr


@pytest.mark.parametrize("module", MODULES)
def test_twin_and_compiled_module_have_the_same_names_and_parameters(module):
    compiled = __import__(f"_codec.{module}", fromlist=["_"])
    twin = __import__(f"router.wire.reference.{module}", fromlist=["_"])
    assert public(compiled) == public(twin)


def public(module):
    """Map constants to their values, functions to their parameters, classes to their methods."""
    names = {}
    for name, value in vars(module).items():
        if name.startswith("_") or name in NOT_COMPARED or inspect.ismodule(value):
            continue
        if isinstance(value, int):
            names[name] = value
        elif getattr(value, "__module__", None) != module.__name__:
            continue
        elif inspect.isclass(value):
            names[name] = sorted(
                member for member in vars(value) if not member.startswith("_") and is_call(value, member)
            )
        else:
            names[name] = parameters(value)
    return names


def is_call(owner, member):
    return callable(getattr(owner, member))


def parameters(function):
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


def test_everything_public_is_exported():
    for module in MODULES:
        names = public(__import__(f"router.wire.reference.{module}", fromlist=["_"]))
        assert set(names) <= set(codec.__all__), module
