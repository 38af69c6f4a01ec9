"""Send files over one or several associations at once, and keep count of how they fare."""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from router import AE, Association
from router.api.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category
from router.apps.batches import Batch
from router.apps.dicom_files import FoundFile
from router.apps.peer import open_association
from router.standard.statuses import SUCCESS

MESSAGE_ID_MAX = 65535
DICOMDIR = "DICOMDIR"


@dataclass(slots=True)
class Progress:
    """How many files were stored, failed, and left out for not being images. told: called after each."""

    told: Callable[[], None]
    stored: int = 0
    failed: int = 0
    left_out: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, outcome: str) -> None:
        """Take note of one file; outcome: the name of its count."""
        with self.lock:
            setattr(self, outcome, getattr(self, outcome) + 1)
        self.told()

    @property
    def total(self) -> int:
        """How many files are done with."""
        return self.stored + self.failed + self.left_out


class Files(Iterator[FoundFile]):
    """Hand out each file once, to any thread; stop() ends that."""

    def __init__(self, files: Iterable[FoundFile]) -> None:
        self._files = iter(files)
        self._lock = threading.Lock()
        self._is_stopped = False

    def __next__(self) -> FoundFile:
        with self._lock:
            if self._is_stopped:
                raise StopIteration
            return next(self._files)

    def stop(self) -> None:
        """Hand out no more."""
        self._is_stopped = True


class Sending:
    """Send batches to the peer of the options, over `args.jobs` associations at once."""

    def __init__(self, ae: AE, args: argparse.Namespace, log: logging.Logger, progress: Progress) -> None:
        self._ae = ae
        self._args = args
        self._log = log
        self._progress = progress

    def send(self, batch: Batch) -> None:
        """Send a batch; what could not even be tried counts as failed."""
        files, before = Files(batch.files), self._progress.total
        jobs = min(self._args.jobs, len(batch.files))
        if jobs == 1:
            self._send_some(batch, files)
        else:
            self._send_parallel(batch, files, jobs)
        left = before + len(batch.files) - self._progress.total
        if left:
            self._log.error(f"{left} file{'' if left == 1 else 's'} not sent: there is no association")
            self._progress.failed += left

    def _send_parallel(self, batch: Batch, files: Files, jobs: int) -> None:
        threads = [
            threading.Thread(target=self._send_some, args=(batch, files), daemon=True) for _ in range(jobs)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            files.stop()
            for thread in threads:
                thread.join(self._args.acse_timeout)
            raise

    def _send_some(self, batch: Batch, files: Files) -> None:
        """Send files over one association until there are none, or the association ends."""
        assoc = open_association(self._ae, self._args, self._log, contexts=batch.contexts)
        if assoc is None:
            return
        with assoc:
            message_id = 0
            # In this order: a file that was handed out is lost to the other associations.
            while assoc.is_established and (file := next(files, None)) is not None:
                message_id = message_id % MESSAGE_ID_MAX + 1
                self._progress.count(self._send_file(assoc, file, message_id))

    def _send_file(self, assoc: Association, file: FoundFile, message_id: int) -> str:
        """Send one file; return the name of its count in Progress."""
        path, log = file.path, self._log
        if not file.is_named and path.name.upper() == DICOMDIR:
            log.info(f"Not sent: {path}, the index of a medium")
            return "left_out"
        log.info(f"Sending file: {path}")
        try:
            status = assoc.send_c_store(path, message_id)
        except OSError as error:
            log.error(f"Cannot access path: {path}: {error.strerror or error}")
            return "failed"
        except Exception as error:
            return self._note_refusal(file, error)
        if not status:
            log.error(f"Store failed: {path}: no response")
            return "failed"
        category = code_to_category(status.Status)
        if status.Status == SUCCESS:
            return "stored"
        text = f"{path}: status 0x{status.Status:04X} ({category})"
        _, meaning = STORAGE_SERVICE_CLASS_STATUS.get(status.Status, ("", ""))
        text = f"{text}: {meaning}" if meaning else text
        if category == "Warning":
            log.warning(f"Stored with a warning: {text}")
            return "stored"
        log.error(f"Store failed: {text}")
        return "failed"

    def _note_refusal(self, file: FoundFile, error: Exception) -> str:
        """Say why a file was not sent at all. pydicom raises whatever its element readers do."""
        from pydicom.errors import InvalidDicomError

        # An image without UIDs is a mistake; in a directory it is rather the index of a medium.
        is_no_image = isinstance(error, AttributeError) and not file.is_named
        if is_no_image or isinstance(error, InvalidDicomError | EOFError):
            level = logging.ERROR if file.is_named else logging.WARNING
            self._log.log(level, f"Bad DICOM file: {file.path}")
            return "failed" if file.is_named else "left_out"
        self._log.error(f"Store failed: {file.path}: {error}")
        return "failed"
