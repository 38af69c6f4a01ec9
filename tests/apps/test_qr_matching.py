"""How the keys of an identifier select among the instances that qrscp keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from router.apps.qr_attributes import ATTRIBUTES
from router.apps.qr_database import Database
from router.apps.qr_matching import (
    PATIENT_ROOT_LEVELS,
    STUDY_ROOT_LEVELS,
    BadIdentifier,
    Identifier,
    find_query,
    match_of,
    retrieve_query,
)

INSTANCES = (
    # patient, name, study, date, time, modality, series, number, instance
    ("P1", "Doe^Jane", "1.1", "20200101", "101500", "CT", "1.1.1", "1", "1.1.1.1"),
    ("P1", "Doe^Jane", "1.1", "20200101", "101500", "CT", "1.1.1", "2", "1.1.1.2"),
    ("P1", "Doe^Jane", "1.1", "20200101", "101500", "SR", "1.1.2", "1", "1.1.2.1"),
    ("P1", "Doe^Jane", "1.2", "20200615", "235959", "MR", "1.2.1", "1", "1.2.1.1"),
    ("P_2", "Müller^A", "2.1", "20210101", "", "CT", "2.1.1", "1", "2.1.1.1"),
    ("P[3]", "doe^john", "3.1", "", "080000", "US", "3.1.1", "10", "3.1.1.1"),
)
COLUMNS = ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyTime", "Modality")
COLUMNS += ("SeriesInstanceUID", "InstanceNumber", "SOPInstanceUID")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("qr") / "new" / "instances.sqlite")
    for row in INSTANCES:
        values: dict[str, Any] = dict.fromkeys(attribute.keyword for attribute in ATTRIBUTES)
        values |= {keyword: value or None for keyword, value in zip(COLUMNS, row, strict=True)}
        values |= {"SOPClassUID": "1.2", "transfer_syntax": "1.2.840.10008.1.2", "file": row[-1]}
        database.add(values)
    yield database
    database.close()


def identifier(
    level: str, is_relational: bool = True, levels: Any = PATIENT_ROOT_LEVELS, **keys: Any
) -> Identifier:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return Identifier(dataset, levels, is_relational)


@pytest.mark.parametrize(
    ("keys", "studies"),
    [
        ({}, "1.1 1.2 2.1 3.1"),
        ({"PatientID": ""}, "1.1 1.2 2.1 3.1"),
        ({"PatientID": "P1"}, "1.1 1.2"),
        ({"PatientID": "p1"}, ""),
        ({"PatientID": "P*"}, "1.1 1.2 2.1 3.1"),
        ({"PatientID": "P?"}, "1.1 1.2"),
        ({"PatientID": "P?2"}, "2.1"),
        ({"PatientID": "P[*"}, "3.1"),
        ({"PatientID": ["P1", "P_2"]}, "1.1 1.2 2.1"),
        ({"PatientName": "Doe^Jane"}, "1.1 1.2"),
        ({"PatientName": "DOE*"}, "1.1 1.2 3.1"),
        ({"PatientName": "*jo?n"}, "3.1"),
        ({"PatientName": "Müller*"}, "2.1"),
        ({"PatientName": "Doe_Jane"}, ""),
        ({"PatientName": "100%"}, ""),
        ({"PatientName": "*"}, "1.1 1.2 2.1 3.1"),
        ({"StudyDate": "20200101"}, "1.1"),
        ({"StudyDate": "20200101-20200630"}, "1.1 1.2"),
        ({"StudyDate": "-20200101"}, "1.1"),
        ({"StudyDate": "20200102-"}, "1.2 2.1"),
        ({"StudyDate": "*"}, "1.1 1.2 2.1 3.1"),
        ({"StudyTime": "0900-1015"}, "1.1"),
        ({"StudyTime": "-235959"}, "1.1 1.2 3.1"),
        ({"StudyInstanceUID": "1.2"}, "1.2"),
        ({"StudyInstanceUID": ["1.1", "3.1", "9"]}, "1.1 3.1"),
        ({"ModalitiesInStudy": "SR"}, "1.1"),
        ({"ModalitiesInStudy": ["MR", "US"]}, "1.2 3.1"),
        ({"PatientName": "Doe*", "StudyDate": "20200101-"}, "1.1 1.2"),
        ({"Modality": "MR"}, "1.1 1.2 2.1 3.1"),
    ],
)
def test_keys_of_the_level_and_above_select_studies(
    keys: dict[str, Any], studies: str, database: Database
) -> None:
    rows = database.rows(find_query(identifier("STUDY", **keys)))
    assert " ".join(row["StudyInstanceUID"] for row in rows) == studies


@pytest.mark.parametrize(
    ("level", "keys", "found"),
    [
        ("PATIENT", {}, ["P1", "P[3]", "P_2"]),
        ("SERIES", {"StudyInstanceUID": "1.1"}, ["1.1.1", "1.1.2"]),
        ("SERIES", {"Modality": "CT"}, ["1.1.1", "2.1.1"]),
        ("IMAGE", {"SeriesInstanceUID": "1.1.1"}, ["1.1.1.1", "1.1.1.2"]),
        ("IMAGE", {"InstanceNumber": "10"}, ["3.1.1.1"]),
    ],
)
def test_each_entity_of_a_level_is_one_match(
    level: str, keys: dict[str, Any], found: list[str], database: Database
) -> None:
    asked = identifier(level, **keys)
    unique = {"PATIENT": "PatientID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}[level]
    assert [row[unique] for row in database.rows(find_query(asked))] == found


def test_numbers_are_matched_as_numbers(database: Database) -> None:
    asked = identifier("IMAGE", InstanceNumber="010")
    assert [row["SOPInstanceUID"] for row in database.rows(find_query(asked))] == ["3.1.1.1"]


def test_a_match_holds_what_was_asked_for(database: Database) -> None:
    asked = identifier(
        "STUDY", PatientName="", StudyDescription="", ModalitiesInStudy="",
        NumberOfStudyRelatedSeries=None, NumberOfStudyRelatedInstances=None, StudyInstanceUID="1.1",
    )  # fmt: skip
    (row,) = database.rows(find_query(asked))
    match = match_of(row, asked, "HERE")
    assert match.PatientName == "Doe^Jane"
    assert sorted(match.ModalitiesInStudy) == ["CT", "SR"]
    assert (match.NumberOfStudyRelatedSeries, match.NumberOfStudyRelatedInstances) == (2, 3)
    assert (match.RetrieveAETitle, match.QueryRetrieveLevel) == ("HERE", "STUDY")
    assert not match.StudyDescription
    assert "StudyDate" not in match
    assert "SpecificCharacterSet" not in match


def test_a_match_beyond_ascii_names_its_character_set(database: Database) -> None:
    asked = identifier("PATIENT", PatientName="", PatientID="P_2")
    (row,) = database.rows(find_query(asked))
    match = match_of(row, asked, "HERE")
    assert (match.PatientName, match.SpecificCharacterSet) == ("Müller^A", "ISO_IR 192")


def test_a_retrieval_gives_every_instance_below(database: Database) -> None:
    rows = database.rows(retrieve_query(identifier("PATIENT", PatientID="P1")))
    assert [row["SOPInstanceUID"] for row in rows] == ["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.2.1.1"]
    rows = database.rows(retrieve_query(identifier("IMAGE", SOPInstanceUID=["1.1.1.2", "2.1.1.1"])))
    assert [row["SOPInstanceUID"] for row in rows] == ["1.1.1.2", "2.1.1.1"]


@pytest.mark.parametrize(
    ("level", "levels", "keys"),
    [
        ("", PATIENT_ROOT_LEVELS, {}),
        ("FRAME", PATIENT_ROOT_LEVELS, {}),
        ("PATIENT", STUDY_ROOT_LEVELS, {"PatientID": "P1"}),
        ("STUDY", PATIENT_ROOT_LEVELS, {"StudyInstanceUID": "1.1"}),
        ("STUDY", PATIENT_ROOT_LEVELS, {"PatientID": ""}),
        ("STUDY", PATIENT_ROOT_LEVELS, {"PatientID": "P*"}),
        ("SERIES", STUDY_ROOT_LEVELS, {"StudyInstanceUID": ["1.1", "1.2"]}),
        ("IMAGE", STUDY_ROOT_LEVELS, {"StudyInstanceUID": "1.1"}),
    ],
)
def test_an_identifier_that_the_model_does_not_allow_is_refused(
    level: str, levels: Any, keys: dict[str, Any]
) -> None:
    with pytest.raises(BadIdentifier):
        identifier(level, False, levels, **keys)


def test_hierarchical_queries_name_every_level_above(database: Database) -> None:
    asked = identifier("SERIES", False, PatientID="P1", StudyInstanceUID="1.1")
    assert [row["SeriesInstanceUID"] for row in database.rows(find_query(asked))] == ["1.1.1", "1.1.2"]
    asked = identifier("STUDY", False, STUDY_ROOT_LEVELS, PatientName="doe*")
    assert len(database.rows(find_query(asked))) == 3


def test_a_retrieval_must_say_what_it_wants() -> None:
    for keys in ({}, {"StudyInstanceUID": ""}, {"StudyInstanceUID": "*"}):
        with pytest.raises(BadIdentifier, match="StudyInstanceUID"):
            identifier("STUDY", True, **keys).require_unique_key()
    identifier("STUDY", True, StudyInstanceUID=["1.1", "1.2"]).require_unique_key()


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(BadIdentifier, match="StudyDate"):
        find_query(identifier("STUDY", StudyDate="-"))


def test_keys_that_are_not_answered_are_noticed() -> None:
    assert identifier("STUDY", StudyDescription="").unsupported() is False
    assert identifier("STUDY", SeriesInstanceUID="").unsupported() is True
    assert identifier("STUDY", BodyPartExamined="").unsupported() is True


def test_an_instance_stored_again_replaces_the_first(tmp_path: Path) -> None:
    database = Database(tmp_path / "instances.sqlite")
    values: dict[str, Any] = dict.fromkeys(attribute.keyword for attribute in ATTRIBUTES)
    values |= {"SOPInstanceUID": "1", "transfer_syntax": "1.2", "file": "1"}
    for name in ("first", "second"):
        database.add(values | {"PatientName": name})
    assert [row["PatientName"] for row in database.rows(retrieve_query(identifier("PATIENT")))] == ["second"]
    assert database.files() == ["1"]
    database.clear()
    assert database.files() == []
