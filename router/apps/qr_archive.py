"""What qrscp keeps: instances as files in a folder, and the database that says what they are."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.apps.qr_attributes import ATTRIBUTES, WANTED, Matching
from router.apps.qr_database import Database, DatabaseError
from router.apps.qr_matching import integer_text
from router.apps.stored_files import arriving_in, dataset_of, forget_arrived, write_instance
from router.routing.attributes import read_attributes
from router.standard.uids import is_valid_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.api.events import Event

LOGGER = logging.getLogger("qrscp")

SUCCESS = 0x0000
CANNOT_UNDERSTAND = 0xC210
CANNOT_STORE = 0xA700


class Archive:
    """A folder of instances and its database."""

    def __init__(self, directory: Path, database_path: Path) -> None:
        """Open the archive, or make it. Raises OSError, DatabaseError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.receive_to = arriving_in(directory, LOGGER)
        self.database = Database(database_path)

    def store(self, event: Event) -> int:
        """Keep the instance of an EVT_C_STORE; return the status to answer."""
        try:
            return self._store(event)
        finally:
            forget_arrived(event)

    def _store(self, event: Event) -> int:
        try:
            values = facts_of(event)
        except ValueError as error:
            LOGGER.error(f"Unable to decode the dataset: {error.args[0]}")
            return CANNOT_UNDERSTAND
        uid = values["SOPInstanceUID"]
        if not uid or not is_valid_uid(uid) or not values["SOPClassUID"]:
            LOGGER.error("Unable to store: the dataset has no SOP Class UID or no SOP Instance UID")
            return CANNOT_UNDERSTAND
        path = self._directory / uid
        is_new = not path.exists()
        try:
            write_instance(event, path)
            self.database.add(values | {"file": path.name, "transfer_syntax": event.context.transfer_syntax})
        except (OSError, DatabaseError) as error:
            LOGGER.error(f"Unable to store {uid}: {type(error).__name__}")
            if is_new:
                path.unlink(missing_ok=True)
            return CANNOT_STORE
        return SUCCESS

    def read(self, row: Any) -> Dataset | None:
        """Return the instance of a row; None if its file cannot be read, the log then says so."""
        from pydicom import dcmread

        try:
            return dcmread(self._directory / row["file"])
        except Exception as error:
            # pydicom raises whatever its element readers do.
            LOGGER.error(f"Cannot read instance {row['SOPInstanceUID']}: {type(error).__name__}")
            return None

    def clean(self) -> int:
        """Remove every instance that the database knows; return how many. Raises OSError, DatabaseError."""
        names = self.database.files()
        for name in names:
            (self._directory / name).unlink(missing_ok=True)
        self.database.clear()
        return len(names)


def facts_of(event: Event) -> dict[str, str | None]:
    """Return keyword -> value of the attributes kept of an instance; None where it has none.

    Raises ValueError for a dataset that cannot be parsed.
    """
    found = read_attributes([dataset_of(event)], event.context.transfer_syntax, WANTED)
    facts: dict[str, str | None] = {}
    for attribute in ATTRIBUTES:
        text = "\\".join(found.get(attribute.tag, ()))
        if attribute.matching is Matching.NUMBER:
            text = integer_text(text)
        facts[attribute.keyword] = text or None
    return facts
