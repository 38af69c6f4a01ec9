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


@pytest.mark.parametrize("name", MODULES)
def test_importing_the_package_is_enough_to_name_its_modules(name: str) -> None:
    assert run(f"import router, sys; print(router.{name} is sys.modules['router.{name}'])") == "True"


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


def test_an_open_port_needs_no_pydicom() -> None:
    out = run(
        "import sys\nfrom router import AE, evt\nae = AE()\nae.add_supported_context('1.2.840.10008.1.1')\n"
        "ae.make_server(('127.0.0.1', 0))\nprint('pydicom' in sys.modules)"
    )
    assert out == "False"


FRESH_PROCESS = """
import threading
from router import AE, evt

def handle(event):
    is_whole = event.dataset.PatientID == 'P1' and event.file_meta and event.request.MessageID
    return 0x0000 if is_whole else 0x0110

CT, COUNT = '1.2.840.10008.5.1.4.1.1.2', 8
ae = AE()
ae.maximum_associations = COUNT
ae.add_supported_context(CT)
ae.add_requested_context(CT)
server = ae.start_server(('127.0.0.1', 0), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
barrier, statuses = threading.Barrier(COUNT), []

def send():
    barrier.wait()
    assoc = ae.associate('127.0.0.1', server.server_address[1])
    from tests.support.datasets import instance
    statuses.append(assoc.send_c_store(instance()).get('Status'))
    assoc.release()

threads = [threading.Thread(target=send) for _ in range(COUNT)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(statuses == [0] * COUNT)
"""


def test_many_threads_may_begin_at_once_in_a_fresh_process() -> None:
    assert run(FRESH_PROCESS) == "True"


LOAD_AT_ONCE = """
import threading
from router.api import pydicom_loading
barrier, loaded = threading.Barrier(8), []

def load():
    barrier.wait()
    pydicom_loading.load()
    from pydicom.dataset import Dataset
    loaded.append(Dataset.__name__)

threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(loaded == ['Dataset'] * 8)
"""


def test_threads_that_load_pydicom_at_once_all_get_the_whole_of_it() -> None:
    assert run(LOAD_AT_ONCE) == "True"


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
