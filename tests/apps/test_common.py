"""What programs import from the path of the applications' shared parts."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pytest

from router.apps import common


def test_files_are_named_as_text_each_once(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()
    found, bad = common.get_files([tmp_path, str(tmp_path / "a"), tmp_path / "none"])
    assert found == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert bad == [str(tmp_path / "none")]


def test_a_query_is_made_of_keywords(caplog: pytest.LogCaptureFixture) -> None:
    args = argparse.Namespace(file=None, keyword=["PatientName=Doe^J", "(0020,000d)=1.2"])
    query = common.create_dataset(args)
    assert (query.PatientName, query.StudyInstanceUID) == ("Doe^J", "1.2")
    with pytest.raises(FileNotFoundError):
        common.create_dataset(argparse.Namespace(file="none.dcm", keyword=None), logging.getLogger("test"))
    assert "Cannot read input file none.dcm" in caplog.text


def test_the_log_is_set_up_by_options(capsys: pytest.CaptureFixture[str]) -> None:
    log = common.setup_logging(argparse.Namespace(verbose=True), "an-app")
    log.info("shown")
    log.debug("hidden")
    assert capsys.readouterr().err == "I: shown\n"
    logging.getLogger("an-app").handlers.clear()
