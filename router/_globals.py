"""Constants that programs import: default sizes and syntaxes, modes, and the names of status categories."""

from __future__ import annotations

from router.standard import transfer_syntaxes
from router.standard.uids import DICOM_APPLICATION_CONTEXT

DEFAULT_MAX_LENGTH = 16382
"""Largest P-DATA-TF variable field that we announce unless told otherwise, in bytes."""

APPLICATION_CONTEXT_NAME = DICOM_APPLICATION_CONTEXT
ALL_TRANSFER_SYNTAXES = list(transfer_syntaxes.ALL_TRANSFER_SYNTAXES)
DEFAULT_TRANSFER_SYNTAXES = list(transfer_syntaxes.DEFAULT_TRANSFER_SYNTAXES)

MODE_REQUESTOR = "requestor"
MODE_ACCEPTOR = "acceptor"

STATUS_SUCCESS = "Success"
STATUS_FAILURE = "Failure"
STATUS_WARNING = "Warning"
STATUS_CANCEL = "Cancel"
STATUS_PENDING = "Pending"
STATUS_UNKNOWN = "Unknown"
