"""What qrscp answers: C-ECHO, C-STORE, C-FIND, C-GET and C-MOVE, from its archive."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from router import build_context, evt
from router.apps.qr_settings import Settings
from router.standard.printable import printable

if TYPE_CHECKING:
    from router.api.events import Event
    from router.apps.qr_archive import Archive
    from router.apps.qr_matching import Identifier

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1."
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2."

SUCCESS, PENDING, PENDING_KEYS_UNSUPPORTED, CANCEL = 0x0000, 0xFF00, 0xFF01, 0xFE00
BAD_IDENTIFIER = 0xA900
FIND_FAILED, GET_FAILED, MOVE_FAILED = 0xC320, 0xC420, 0xC520

CONTEXTS_MAX = 128
"""Of the association with a move destination."""

COMMENT_MAX = 64
"""Characters of an Error Comment (LO)."""

RELATIONAL = b"\x01"
"""First octet of a SOP class's extended negotiation: relational queries (PS3.4 section C.5.1.1)."""


class Refused(Exception):
    """A query that is answered with a failure: what to yield for it."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status = status
        self.comment = comment


class Handlers:
    """The handlers of one qrscp. archive: what it answers from."""

    def __init__(self, settings: Settings, archive: Archive, log: logging.Logger) -> None:
        self._settings = settings
        self._archive = archive
        self._log = log

    def bound(self) -> list[Any]:
        """Return the handlers with their events, for start_server()."""
        return [
            (evt.EVT_C_ECHO, self.echo),
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_C_FIND, self.find),
            (evt.EVT_C_GET, self.get),
            (evt.EVT_C_MOVE, self.move),
            (evt.EVT_SOP_EXTENDED, self.sop_class_extended),
        ]

    def echo(self, event: Event) -> int:
        """Answer C-ECHO."""
        self._note(event, "C-ECHO")
        return SUCCESS

    def store(self, event: Event) -> int:
        """Answer C-STORE."""
        self._note(event, "C-STORE")
        return self._archive.store(event)

    def find(self, event: Event) -> Iterator[tuple[Any, Any]]:
        """Answer C-FIND; worklists and procedure steps are always empty."""
        self._note(event, "C-FIND")
        if not event.context.abstract_syntax.startswith((PATIENT_ROOT, STUDY_ROOT)):
            return
        from router.apps.qr_matching import find_query, match_of

        try:
            identifier = self._check(event, FIND_FAILED)
            rows = self._rows(identifier, find_query, FIND_FAILED)
        except Refused as refused:
            yield _status(refused), None
            return
        pending = PENDING_KEYS_UNSUPPORTED if identifier.unsupported() else PENDING
        for row in rows:
            if event.is_cancelled:
                yield CANCEL, None
                return
            yield pending, match_of(row, identifier, self._settings.ae_title)

    def get(self, event: Event) -> Iterator[Any]:
        """Answer C-GET."""
        self._note(event, "C-GET")
        try:
            rows = self._instances(event, GET_FAILED)
        except Refused as refused:
            # The number comes first, and after none nothing is asked for.
            yield 1
            yield _status(refused), None
            return
        yield len(rows)
        yield from self._sub_operations(event, rows)

    def move(self, event: Event) -> Iterator[Any]:
        """Answer C-MOVE."""
        self._note(event, "C-MOVE")
        address = self._settings.destinations.get(event.move_destination.strip())
        if address is None:
            self._log.error(f"Unknown move destination: {printable(event.move_destination)}")
            yield None, None
            return
        try:
            rows = self._instances(event, MOVE_FAILED)
        except Refused as refused:
            yield (*address, {"contexts": [build_context("1.2.840.10008.1.1")]})
            yield 1
            yield _status(refused), None
            return
        kinds = sorted({(row["SOPClassUID"], row["transfer_syntax"]) for row in rows})
        if len(kinds) > CONTEXTS_MAX:
            self._log.warning(f"{len(kinds)} kinds of instances, at most {CONTEXTS_MAX} fit an association")
        contexts = [build_context(*kind) for kind in kinds[:CONTEXTS_MAX]]
        yield (*address, {"contexts": contexts})
        yield len(rows)
        yield from self._sub_operations(event, rows)

    def sop_class_extended(self, event: Event) -> dict[str, bytes]:
        """Grant relational queries, and nothing else, to who asks for them."""
        return {
            uid: information[:1] + bytes(len(information) - 1)
            for uid, information in event.app_info.items()
            if uid.startswith((PATIENT_ROOT, STUDY_ROOT)) and information[:1] == RELATIONAL
        }

    # Inside

    def _note(self, event: Event, name: str) -> None:
        requestor = event.assoc.requestor
        self._log.info(
            f"Received {name} request from {requestor.address}:{requestor.port} "
            f"({printable(requestor.ae_title)}) at {event.timestamp:%Y-%m-%d %H:%M:%S}"
        )

    def _check(self, event: Event, failed: int) -> Identifier:
        """Return the identifier of a query. Raises Refused."""
        from router.apps.qr_matching import (
            PATIENT_ROOT_LEVELS,
            STUDY_ROOT_LEVELS,
            BadIdentifier,
            Identifier,
        )

        model = str(event.context.abstract_syntax)
        levels = PATIENT_ROOT_LEVELS if model.startswith(PATIENT_ROOT) else STUDY_ROOT_LEVELS
        granted = event.assoc.requestor.sop_class_extended.get(model, b"")
        try:
            return Identifier(event.identifier, levels, granted[:1] == RELATIONAL)
        except BadIdentifier as error:
            self._log.error(f"Bad identifier: {error}")
            raise Refused(BAD_IDENTIFIER, str(error)) from error
        except Exception as error:
            # pydicom raises whatever its element readers do.
            self._log.error(f"Unable to decode the identifier: {type(error).__name__}")
            raise Refused(failed, "the identifier cannot be decoded") from error

    def _rows(self, identifier: Identifier, query: Any, failed: int) -> Sequence[Any]:
        """Return the rows for an identifier. Raises Refused."""
        from router.apps.qr_database import DatabaseError
        from router.apps.qr_matching import BadIdentifier

        try:
            return self._archive.database.rows(query(identifier))
        except BadIdentifier as error:
            self._log.error(f"Bad identifier: {error}")
            raise Refused(BAD_IDENTIFIER, str(error)) from error
        except DatabaseError as error:
            self._log.error(f"The database cannot be queried: {type(error).__name__}")
            raise Refused(failed, "the database cannot be queried") from error

    def _instances(self, event: Event, failed: int) -> Sequence[Any]:
        """Return the rows of a retrieval. Raises Refused."""
        from router.apps.qr_matching import BadIdentifier, retrieve_query

        identifier = self._check(event, failed)
        try:
            identifier.require_unique_key()
        except BadIdentifier as error:
            self._log.error(f"Bad identifier: {error}")
            raise Refused(BAD_IDENTIFIER, str(error)) from error
        return self._rows(identifier, retrieve_query, failed)

    def _sub_operations(self, event: Event, rows: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for row in rows:
            if event.is_cancelled:
                yield CANCEL, None
                return
            yield PENDING, self._archive.read(row)


def _status(refused: Refused) -> Any:
    from pydicom.dataset import Dataset

    status = Dataset()
    status.Status = refused.status
    status.ErrorComment = refused.comment[:COMMENT_MAX]
    return status
