"""Which files go over which association: presentation contexts for what the files hold, 128 at most."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from router.apps.dicom_files import FoundFile
from router.apps.part10 import NotPart10, open_part10
from router.apps.stored_files import identify

if TYPE_CHECKING:
    from router.api.presentation import PresentationContext

CONTEXTS_MAX = 128
"""Of one association: presentation context IDs are odd, 1 to 255 (PS3.8 section 9.3.2.2)."""

HEAD_BYTES = 65536
HEADS_READ_MAX = 1000
"""So many files are looked at before any is sent."""

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
"""The index of a medium: it never travels by C-STORE."""


@dataclass(slots=True)
class Batch:
    """Files, and the contexts to propose for them."""

    contexts: list[PresentationContext]
    files: list[FoundFile]


@dataclass(slots=True)
class BadFile:
    """A file that cannot be sent, and why."""

    file: FoundFile
    why: str


def storage_batch(files: list[FoundFile], transfer_syntaxes: list[str], with_own: bool) -> Batch:
    """Return all files as one batch, with a context for each common storage SOP class.

    with_own: what room there is goes to the kinds of instances that the first files are, each in its own
    transfer syntax: compressed ones can then be sent at all, others unchanged whatever the peer prefers.
    """
    from router import StoragePresentationContexts, build_context

    sop_classes = [context.abstract_uid for context in StoragePresentationContexts]
    contexts = [build_context(uid, transfer_syntaxes) for uid in sop_classes]
    if with_own:
        room = CONTEXTS_MAX - len(contexts)
        common = {(uid, syntax) for uid in sop_classes for syntax in transfer_syntaxes}
        kinds = _kinds_of(files[:HEADS_READ_MAX])
        chosen = sorted(kinds, key=lambda kind: (kind in common, -kinds[kind], kind))[:room]
        contexts += [build_context(sop_class, syntax) for sop_class, syntax in chosen]
    return Batch(contexts, files)


def required_batches(files: Iterable[FoundFile]) -> tuple[list[Batch], list[BadFile]]:
    """Return the files with a context for each pair of SOP class and transfer syntax there is.

    Where one association cannot hold all contexts there are several batches. The second list: files without
    the two UIDs.
    """
    from router import build_context

    groups: dict[tuple[str, str], list[FoundFile]] = {}
    bad = []
    for file in files:
        try:
            groups.setdefault(_kind_of(file.path), []).append(file)
        except (OSError, ValueError) as error:
            bad.append(BadFile(file, str(error.args[0])))
    kinds = sorted(groups)
    batches = []
    for start in range(0, len(kinds), CONTEXTS_MAX):
        chosen = kinds[start : start + CONTEXTS_MAX]
        batches.append(
            Batch(
                [build_context(sop_class, syntax) for sop_class, syntax in chosen],
                sorted(itertools.chain.from_iterable(groups[kind] for kind in chosen)),
            )
        )
    return batches, bad


def _kinds_of(files: list[FoundFile]) -> Counter[tuple[str, str]]:
    """Count the kinds of instances; files that are none are passed over, sending them will tell."""
    kinds: Counter[tuple[str, str]] = Counter()
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            kinds[_kind_of(file.path)] += 1
    return kinds


def _kind_of(path: Path) -> tuple[str, str]:
    """Return SOP class and transfer syntax of a file. Raises OSError, ValueError."""
    file = open_part10(path)
    sop_class, _ = identify(bytes(file.dataset[:HEAD_BYTES]), file.transfer_syntax)
    sop_class = sop_class or file.sop_class
    if not sop_class:
        raise NotPart10("it has no SOP Class UID")
    if sop_class == MEDIA_STORAGE_DIRECTORY:
        raise NotPart10("a DICOMDIR is not sent by C-STORE")
    return sop_class, file.transfer_syntax
