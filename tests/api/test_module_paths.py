"""The names and paths that programs import, and what importing costs."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import router

ROOT = Path(__file__).parents[2]
MODULES = """
ae association events presentation sop_class status pdu_primitives dimse_primitives transport utils dsutils
service_class service_class_n _config _globals _handlers _validators
""".split()  # noqa: SIM905


INTERNAL = {"T_CONNECT", "attempt", "standard_dimse_recv_handler", "standard_dimse_sent_handler"}
INTERNAL |= {"standard_pdu_recv_handler", "standard_pdu_sent_handler"}
INTERNAL |= {name for name in vars(importlib.import_module("pynetdicom._handlers")) if "doc_" in name}
"""What pynetdicom's modules show and nobody imports: its machinery, its documentation."""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_every_public_name_of_pynetdicom_is_ours_too() -> None:
    import pynetdicom

    assert set(router.__all__) == set(pynetdicom.__all__)
    for name in router.__all__:
        assert getattr(router, name) is not None
    assert set(router.__all__) <= set(dir(router))
    with pytest.raises(AttributeError):
        _ = router.no_such_name


@pytest.mark.parametrize("name", MODULES)
def test_modules_resolve_by_every_kind_of_import(name: str) -> None:
    module = importlib.import_module(f"router.{name}")
    assert module is importlib.import_module(f"router.{name}")
    theirs = importlib.import_module(f"pynetdicom.{name}")
    public = {
        key
        for key, value in vars(theirs).items()
        if not key.startswith("_") and str(getattr(value, "__module__", "")).startswith(theirs.__name__)
    }
    assert {key for key in public - INTERNAL if not hasattr(module, key)} == set()


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "pydicom asyncio ssl socket select pydantic uvloop router.api router.wire"
    out = run(f"import sys, router; print([m for m in '{heavy}'.split() if m in sys.modules])")
    assert out == "[]"


def test_an_ae_needs_no_pydicom() -> None:
    out = run(
        "import sys\nfrom router import AE, evt\nae = AE()\nae.add_supported_context('1.2.840.10008.1.1')\n"
        "ae.start_server(('127.0.0.1', 0), block=False)\nprint('pydicom' in sys.modules)"
    )
    assert out == "False"


def test_star_import_and_submodules() -> None:
    out = run(
        "from router import *\nfrom router import _config\nimport router.events as e\n"
        "print(AE.__name__, evt is e, _config.CODECS, len(VerificationPresentationContexts))"
    )
    assert out == "ApplicationEntity True ('ascii',) 1"


def test_debug_logger_shows_everything_on_stderr() -> None:
    code = (
        "import sys, logging, router\nrouter.debug_logger()\nrouter.debug_logger()\n"
        "logging.getLogger('router.association').debug('hello')\n"
        "print(len(logging.getLogger('router').handlers))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert done.stderr == "D: hello\n"


def test_the_log_names_what_happens(caplog: pytest.LogCaptureFixture) -> None:
    from router import AE

    ae = AE()
    ae.add_supported_context("1.2.840.10008.1.1")
    ae.add_requested_context("1.2.840.10008.1.1")
    with caplog.at_level(logging.DEBUG, logger="router"):
        server = ae.start_server(("127.0.0.1", 0), block=False)
        with ae.associate("127.0.0.1", server.server_address[1]) as assoc:
            assoc.send_c_echo()
        ae.shutdown()
    for line in (
        "Requesting Association",
        "Accepting Association",
        "Association Accepted",
        "Accept Parameters",
        "Sending Echo Request",
        "Received Echo Request",
        "Received Echo Response",
        "Releasing Association",
        "Association Released",
    ):
        assert line in caplog.text
