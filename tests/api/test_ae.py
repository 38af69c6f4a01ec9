"""What a program configures on an AE, and what it raises for what cannot be; the same as pynetdicom's."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest

from tests.support.datasets import CT, EXPLICIT, IMPLICIT, VERIFICATION


@pytest.fixture(params=["router", "pynetdicom"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


@pytest.mark.parametrize(
    ("title", "error"),
    [
        (1, TypeError),
        ("", ValueError),
        ("   ", ValueError),
        ("A" * 17, ValueError),
        ("a\\b", ValueError),
        ("\x01", ValueError),
        ("\xfc", ValueError),
        (None, TypeError),
    ],
)
def test_bad_titles_raise(library: ModuleType, title: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        library.AE(title)


def test_titles_are_kept_as_given(library: ModuleType) -> None:
    assert library.AE(" A B ").ae_title == " A B "
    assert library.AE().ae_title == "PYNETDICOM"
    with pytest.warns(DeprecationWarning, match="bytes"):
        assert library.AE(b"BYTES").ae_title == "BYTES"


@pytest.mark.parametrize(
    ("name", "good", "bad", "then"),
    [
        ("acse_timeout", [0, 5, 0.5, None], [-1, "x"], 30),
        ("dimse_timeout", [0, 5, None], [-1, "x"], 30),
        ("network_timeout", [0, 5, None], [-3, "x"], 60),
        ("connection_timeout", [5, 0.5, None], [0, -1, "x"], None),
        ("maximum_associations", [1, 500], [0, -1, "x"], 1),
    ],
)
def test_bad_numbers_are_replaced_by_defaults(
    library: ModuleType, name: str, good: list[Any], bad: list[Any], then: Any
) -> None:
    ae = library.AE()
    for value in good:
        setattr(ae, name, value)
        assert getattr(ae, name) == value
    for value in bad:
        setattr(ae, name, value)
        assert getattr(ae, name) == then


def test_defaults(library: ModuleType) -> None:
    ae = library.AE()
    assert (ae.acse_timeout, ae.dimse_timeout, ae.network_timeout) == (30, 30, 60)
    assert ae.connection_timeout is None
    assert (ae.maximum_associations, ae.maximum_pdu_size) == (10, 16382)
    assert ae.require_called_aet is False
    assert ae.require_calling_aet == []
    ae.maximum_pdu_size = -1
    assert ae.maximum_pdu_size == 16382


def test_implementation_identity(library: ModuleType) -> None:
    ae = library.AE()
    ae.implementation_class_uid = "1.2.3"
    assert ae.implementation_class_uid == "1.2.3"
    for wrong in (1, None):
        with pytest.raises(TypeError):
            ae.implementation_class_uid = wrong
    with pytest.raises(ValueError, match="implementation_class_uid"):
        ae.implementation_class_uid = "1.2.abc"
    ae.implementation_version_name = None
    assert ae.implementation_version_name is None
    with pytest.raises(ValueError, match="version"):
        ae.implementation_version_name = ""
    with pytest.raises(ValueError, match="version"):
        ae.implementation_version_name = "A" * 17


def test_requested_contexts_add_up(library: ModuleType) -> None:
    ae = library.AE()
    ae.add_requested_context(CT)
    ae.add_requested_context(CT, IMPLICIT)
    ae.requested_contexts = [library.build_context(VERIFICATION)]
    assert [str(c.abstract_syntax) for c in ae.requested_contexts] == [CT, CT, VERIFICATION]
    assert len(ae.requested_contexts[0].transfer_syntax) == 4
    ae.remove_requested_context(CT, IMPLICIT)
    assert [str(c.abstract_syntax) for c in ae.requested_contexts] == [CT, VERIFICATION]
    assert len(ae.requested_contexts[0].transfer_syntax) == 3
    ae.remove_requested_context("1.2.3")
    ae.remove_requested_context(CT)
    ae.requested_contexts = []
    assert ae.requested_contexts == []
    for number in range(128):
        ae.add_requested_context(f"1.2.{number}")
    with pytest.raises(ValueError, match=r"maximum|128"):
        ae.add_requested_context("1.2.3")
    for wrong in ("x", [1]):
        with pytest.raises((ValueError, AttributeError, TypeError)):
            ae.requested_contexts = wrong


def test_supported_contexts_merge(library: ModuleType) -> None:
    ae = library.AE()
    ae.add_supported_context(VERIFICATION, IMPLICIT)
    ae.add_supported_context(VERIFICATION, [EXPLICIT, IMPLICIT])
    ae.add_supported_context(CT, scu_role=True, scp_role=False)
    assert [str(c.abstract_syntax) for c in ae.supported_contexts] == [VERIFICATION, CT]
    assert [str(uid) for uid in ae.supported_contexts[0].transfer_syntax] == [IMPLICIT, EXPLICIT]
    assert ae.supported_contexts[1].scu_role is True
    assert ae.supported_contexts[1].scp_role is False
    ae.remove_supported_context(VERIFICATION, IMPLICIT)
    assert [str(uid) for uid in ae.supported_contexts[0].transfer_syntax] == [EXPLICIT]
    ae.remove_supported_context(VERIFICATION, EXPLICIT)
    assert [str(c.abstract_syntax) for c in ae.supported_contexts] == [CT]
    with pytest.raises(TypeError):
        ae.add_supported_context(CT, scu_role="yes")
    ae.supported_contexts = []
    assert ae.supported_contexts == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, 104), TypeError),
        (("localhost", "x"), TypeError),
        (("localhost", 104, [1]), ValueError),
        (("localhost", 104), RuntimeError),
    ],
)
def test_associate_checks_its_arguments(
    library: ModuleType, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        library.AE().associate(*arguments)


def test_bind_address_is_checked(library: ModuleType) -> None:
    ae = library.AE()
    ae.add_requested_context(CT)
    with pytest.raises(TypeError):
        ae.associate("localhost", 104, bind_address="x")


def test_a_server_needs_contexts_and_whole_roles(library: ModuleType) -> None:
    ae = library.AE()
    with pytest.raises(ValueError, match="Presentation Contexts"):
        ae.make_server(("127.0.0.1", 0))
    ae.add_supported_context(CT, scu_role=True)
    with pytest.raises(ValueError):  # noqa: PT011 - its words are its own
        ae.make_server(("127.0.0.1", 0))


def test_setting_a_timeout_reaches_open_associations(library: ModuleType) -> None:
    ae = library.AE()
    ae.add_supported_context(VERIFICATION)
    ae.add_requested_context(VERIFICATION)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    assoc = ae.associate("127.0.0.1", server.server_address[1])
    ae.dimse_timeout, ae.acse_timeout, ae.network_timeout = 11, 12, 13
    assert (assoc.dimse_timeout, assoc.acse_timeout, assoc.network_timeout) == (11, 12, 13)
    assert len(ae.active_associations) == 2
    assert "Association(s): 2/10" in str(ae)
    assoc.release()
    ae.shutdown()


def test_text_of_an_ae(library: ModuleType) -> None:
    ae = library.AE("TITLE")
    ae.add_supported_context(VERIFICATION)
    text = str(ae)
    assert "Application Entity TITLE" in text
    assert "Verification SOP Class" in text
    assert "ACSE timeout: 30 s" in text
    assert "Association(s): 0/10" in text
