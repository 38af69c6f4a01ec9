"""`dicom-router qrscp`: a small archive that answers C-STORE, C-FIND, C-GET and C-MOVE."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from typing import TYPE_CHECKING, Any

from router.apps import arguments

if TYPE_CHECKING:
    from router import AE
    from router.apps.qr_archive import Archive
    from router.apps.qr_settings import Settings

APP = "qrscp"

NEEDED = "sqlalchemy"
QUERY_SOP_CLASSES = (
    "1.2.840.10008.5.1.4.1.2.1.1",
    "1.2.840.10008.5.1.4.1.2.1.2",
    "1.2.840.10008.5.1.4.1.2.1.3",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.2",
    "1.2.840.10008.5.1.4.1.2.2.3",
)
"""Patient root and study root, each with FIND, MOVE and GET."""


class ArchiveError(Exception):
    """The archive cannot be opened; the text says why."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Keep instances that are sent with C-STORE, and answer queries (C-FIND) and retrievals (C-GET, "
        "C-MOVE) for them, patient and study root. Relational queries are granted to who negotiates them."
    )
    parser.epilog = arguments.EXIT_STATUS_SCP
    arguments.add_general(parser, APP)
    parser.add_argument("-c", "--config", metavar="FILE", help="settings file; its example is qrscp.ini")
    group = parser.add_argument_group("Network Options")
    group.add_argument(
        "--port", type=arguments.listening_port, help="port to listen on, 0: any free one (as configured)"
    )
    group.add_argument(
        "-aet", "--ae-title", metavar="AET", type=arguments.ae_title, help="my AE title (as configured)"
    )
    arguments.add_timeouts(group, is_override=True)
    group.add_argument(
        "-ba", "--bind-address", metavar="ADDRESS", help="address of the interface to listen on"
    )
    database = parser.add_argument_group("Database Options")
    database.add_argument("--database-location", metavar="FILE", help="the SQLite database (as configured)")
    database.add_argument(
        "--instance-location", metavar="DIRECTORY", help="where instances are kept (as configured)"
    )
    database.add_argument(
        "--clean", action="store_true", help="remove all instances, once that is confirmed, and end"
    )


def run(args: argparse.Namespace) -> int:
    """Serve; return the exit status."""
    from router.apps.log import set_up_log
    from router.apps.qr_settings import SettingsError, read_settings

    log = set_up_log(args, APP)
    if importlib.util.find_spec(NEEDED) is None:
        log.error("qrscp needs SQLAlchemy, which is not installed: pip install dicom-router[apps]")
        return 1
    try:
        settings = read_settings(args)
    except SettingsError as error:
        log.error(f"Wrong settings: {error}")
        return 2
    return _clean(settings, log) if args.clean else _serve(settings, log)


def _serve(settings: Settings, log: logging.Logger) -> int:
    from router import _config
    from router.apps.serving import serve

    _config.LOG_REQUEST_IDENTIFIERS = settings.log_identifier

    def handlers() -> list[Any]:
        from router.apps.qr_handlers import Handlers

        archive = _open(settings)
        ae.receive_to = archive.receive_to
        return Handlers(settings, archive, log).bound()

    ae = _ae(settings)
    try:
        return serve(ae, settings, log, handlers)
    except ArchiveError as error:
        log.error(str(error))
        return 1


def _ae(settings: Settings) -> AE:
    from router import (
        ALL_TRANSFER_SYNTAXES,
        AllStoragePresentationContexts,
        BasicWorklistManagementPresentationContexts,
        UnifiedProcedurePresentationContexts,
    )
    from router.apps.serving import make_scp, support
    from router.standard.uids import VERIFICATION

    ae = make_scp(settings)
    others = BasicWorklistManagementPresentationContexts + UnifiedProcedurePresentationContexts
    support(
        ae,
        [VERIFICATION, *QUERY_SOP_CLASSES, *(context.abstract_uid for context in others)],
        ALL_TRANSFER_SYNTAXES,
    )
    # Who asks with C-GET is the SCP of what it gets.
    storage = (context.abstract_uid for context in AllStoragePresentationContexts)
    support(ae, storage, ALL_TRANSFER_SYNTAXES, scu_role=True, scp_role=True)
    return ae


def _open(settings: Settings) -> Archive:
    """Open the archive. Raises ArchiveError."""
    from router.apps.qr_archive import Archive
    from router.apps.qr_database import DatabaseError

    try:
        return Archive(settings.instance_location, settings.database_location)
    except OSError as error:
        raise ArchiveError(f"Cannot open the archive: {error.filename}: {error.strerror}") from None
    except DatabaseError as error:
        raise ArchiveError(
            f"Cannot open the database {settings.database_location}: {type(error).__name__}"
        ) from None


def _clean(settings: Settings, log: logging.Logger) -> int:
    from router.apps.qr_database import DatabaseError

    print("Remove all instances from the database, and their files? Type yes to go on: ", end="", flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        print("nothing removed")
        return 1
    try:
        print(f"{_open(settings).clean()} removed")
    except ArchiveError as error:
        log.error(str(error))
        return 1
    except (OSError, DatabaseError) as error:
        log.error(f"Cannot remove the instances: {type(error).__name__}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
