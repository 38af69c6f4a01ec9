"""`dicom-router findscu`: query with C-FIND."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.apps import arguments, querying

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router import AE, Association

APP = "findscu"

MODELS = (
    ("-P", "--patient", "patient root"),
    ("-S", "--study", "study root"),
    ("-O", "--psonly", "patient/study only"),
    ("-W", "--worklist", "modality worklist"),
    ("-U", "--ups", "unified procedure step"),
)
SOP_CLASSES = {
    "patient": "1.2.840.10008.5.1.4.1.2.1.1",
    "study": "1.2.840.10008.5.1.4.1.2.2.1",
    "psonly": "1.2.840.10008.5.1.4.1.2.3.1",
    "worklist": "1.2.840.10008.5.1.4.31",
    "ups": "1.2.840.10008.5.1.4.34.6.3",
}
"""Model -> SOP class to query: those of PS3.4 Annexes C, K and CC (UPS Pull)."""

FLAGS = (
    ("--relational-query", "relational queries"),
    ("--dt-matching", "combined date-time matching"),
    ("--fuzzy-names", "fuzzy semantic matching of person names"),
    ("--timezone-adj", "timezone query adjustment"),
    ("--enhanced-conversion", "enhanced multi-frame image conversion"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = "Query an SCP with C-FIND: patients, studies, series, images, worklists."
    parser.epilog = arguments.EXIT_STATUS
    arguments.add_general(parser, APP, "info")
    arguments.add_peer(parser)
    arguments.add_scu_network(parser, "FINDSCU")
    querying.add_models(parser, MODELS)
    querying.add_query(parser)
    group = parser.add_argument_group("Output Options")
    group.add_argument(
        "-w", "--write", action="store_true", help="write matches to rsp000001.dcm, rsp000002.dcm, ..."
    )
    querying.add_flags(parser, FLAGS)


def run(args: argparse.Namespace) -> int:
    """Query; return the exit status."""
    querying.require_query(args)
    from router.apps.log import set_up_log
    from router.apps.peer import make_ae, open_association

    log = set_up_log(args, APP)
    query = querying.read_query(args, log)
    if query is None:
        return 1
    ae = make_ae(args, args.calling_aet)
    _request_contexts(ae)
    assoc = open_association(ae, args, log, ext_neg=list(_negotiation(args)))
    if assoc is None:
        return 1
    sop_class, numbers, last = SOP_CLASSES[args.model], itertools.count(1), None
    with assoc:
        try:
            for status, identifier in assoc.send_c_find(query, sop_class):
                last = status
                if args.write and identifier is not None:
                    write_match(assoc, sop_class, identifier, Path(f"rsp{next(numbers):06d}.dcm"))
        except ValueError as error:
            log.error(f"Find failed: {error}")
            return 1
        except OSError as error:
            log.error(f"Cannot write {error.filename}: {error.strerror}")
            return 1
    return querying.exit_status(last, log)


def write_match(assoc: Association, sop_class: str, identifier: Dataset, path: Path) -> None:
    """Write a match as a DICOM file, in the transfer syntax it came in. Raises OSError."""
    from pydicom.uid import generate_uid

    from router.api.dsutils import create_file_meta

    syntax = next(
        context.transfer_uids[0] for context in assoc.accepted_contexts if context.abstract_uid == sop_class
    )
    identifier.file_meta = create_file_meta(
        sop_class_uid=sop_class, sop_instance_uid=generate_uid(), transfer_syntax=syntax
    )
    identifier.save_as(path, enforce_file_format=True)


def _request_contexts(ae: AE) -> None:
    from router import (
        BasicWorklistManagementPresentationContexts,
        QueryRetrievePresentationContexts,
        UnifiedProcedurePresentationContexts,
    )

    ae.requested_contexts = (
        QueryRetrievePresentationContexts
        + BasicWorklistManagementPresentationContexts
        + UnifiedProcedurePresentationContexts
    )


def _negotiation(args: argparse.Namespace) -> Iterator[Any]:
    """Yield the extended negotiation that the options ask for (PS3.4 sections C.5.1.1 and K.5.1.1)."""
    asked = [args.relational_query, args.dt_matching, args.fuzzy_names, args.timezone_adj]
    asked.append(args.enhanced_conversion)
    if not any(asked):
        return
    if args.model == "worklist":
        asked = [True, True, args.fuzzy_names, args.timezone_adj]
    yield querying.extended_negotiation(SOP_CLASSES[args.model], asked)


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
