"""Datasets to bytes and back with pydicom, and the file meta information of what is kept as a file."""

from __future__ import annotations

import logging
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from router.api.utils import pretty_bytes
from router.standard.transfer_syntaxes import encoding_of
from router.standard.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset, FileMetaDataset

LOGGER = logging.getLogger("router.dsutils")

PREAMBLE = b"\x00" * 128 + b"DICM"
ELEMENT_SHOWN_MAX = 64


def decode(
    bytestring: BytesIO, is_implicit_vr: bool, is_little_endian: bool, deflated: bool = False
) -> Dataset:
    """Return the dataset that was encoded so; its elements are decoded when they are looked at.

    Raises what pydicom raises for a stream it cannot read.
    """
    from pydicom.filereader import read_dataset

    if deflated:
        # PS3.5 section A.5: a raw deflate stream, perhaps padded to an even length.
        bytestring = BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(bytestring.getvalue()))
    LOGGER.debug(
        'pydicom.read_dataset() TransferSyntax="%s Endian %s"',
        "Little" if is_little_endian else "Big",
        "Implicit" if is_implicit_vr else "Explicit",
    )
    bytestring.seek(0)
    return read_dataset(bytestring, is_implicit_vr, is_little_endian)


def decode_as(encoded: bytes, transfer_syntax: str) -> Dataset:
    """Return the dataset that was encoded in a transfer syntax."""
    encoding = encoding_of(transfer_syntax)
    return decode(BytesIO(encoded), encoding.implicit_vr, not encoding.big_endian, encoding.deflated)


def encode(ds: Dataset, is_implicit_vr: bool, is_little_endian: bool, deflated: bool = False) -> bytes | None:
    """Return the encoded dataset, or None if it cannot be encoded; why then stands in the log."""
    from router.api.plain_encoding import encode_plain

    pieces = encode_plain(ds, is_implicit_vr) if is_little_endian else None
    encoded = b"".join(pieces) if pieces is not None else _encode_any(ds, is_implicit_vr, is_little_endian)
    if encoded is None:
        return None
    if not deflated:
        return encoded
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    squeezed = compressor.compress(encoded) + compressor.flush()
    return squeezed + b"\x00" * (len(squeezed) % 2)


def _encode_any(ds: Dataset, is_implicit_vr: bool, is_little_endian: bool) -> bytes | None:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_implicit_VR = is_implicit_vr
    stream.is_little_endian = is_little_endian
    try:
        write_dataset(stream, ds)
    except Exception as error:
        # pydicom raises whatever its element writers do; the text may hold values, so only the kind is told.
        LOGGER.error("pydicom.write_dataset() failed: %s", type(error).__name__)
        return None
    return stream.getvalue()


def encode_as(ds: Dataset, transfer_syntax: str) -> bytes | None:
    """Return the dataset encoded in a transfer syntax, or None if it cannot be."""
    encoding = encoding_of(transfer_syntax)
    return encode(ds, encoding.implicit_vr, not encoding.big_endian, encoding.deflated)


def create_file_meta(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax: str,
    implementation_uid: str = IMPLEMENTATION_CLASS_UID,
    implementation_version: str = IMPLEMENTATION_VERSION_NAME,
) -> FileMetaDataset:
    """Return the File Meta Information of a dataset (PS3.10 section 7.1)."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(implementation_uid)
    meta.ImplementationVersionName = implementation_version
    return meta


def encode_file_meta(file_meta: FileMetaDataset) -> bytes:
    """Return the encoded File Meta Information, with the right group length."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info

    stream = DicomBytesIO()
    write_file_meta_info(stream, file_meta)
    return stream.getvalue()


def split_dataset(path: str | Path) -> tuple[Dataset, int]:
    """Return a file's File Meta Information and where its dataset begins; (empty, 0) without any."""
    from pydicom.filereader import read_file_meta_info, read_preamble

    with Path(path).open("rb") as file:
        preamble = read_preamble(cast("BinaryIO", file), force=True)
        if preamble is None:
            from pydicom.dataset import Dataset

            return Dataset(), 0
        after_preamble = file.tell()
    meta = read_file_meta_info(path)
    length = meta.get("FileMetaInformationGroupLength")
    # The group length element itself is 12 bytes long.
    return meta, after_preamble + 12 + int(length or 0)


def pretty_element(elem: DataElement) -> str:
    """Return one line about an element, for the log."""
    value = elem.value
    if elem.VR in ("OB", "OW", "OF", "OD", "OL", "OV", "UN") and isinstance(value, bytes):
        shown = f"({len(value)} bytes of binary data)"
        if len(value) <= 12:
            shown = "[" + "".join(pretty_bytes(value, prefix="", delimiter="\\")) + "]"
    elif elem.VM == 0 or value in (None, ""):
        shown = "(no value available)"
    elif elem.VM > 1:
        shown = "[" + "\\".join(str(item) for item in value) + "]"
    else:
        shown = f"[{value}]"
    return f"{elem.tag} {elem.VR} {shown[:ELEMENT_SHOWN_MAX]:<40} # {elem.VM} {elem.keyword or 'Unknown'}"


def pretty_dataset(ds: Dataset, indent: int = 0, indent_char: str = "  ") -> list[str]:
    """Return lines about a dataset, its sequences indented, for the log."""
    lines: list[str] = []
    prefix = indent_char * indent
    for elem in ds:
        if elem.VR != "SQ":
            lines.append(prefix + pretty_element(elem))
            continue
        lines.append(f"{prefix}{elem.tag} SQ (Sequence with {len(elem.value)} item(s)) # {elem.keyword}")
        for number, item in enumerate(elem.value, 1):
            lines.append(f"{prefix}{indent_char}(Sequence item #{number})")
            lines += pretty_dataset(item, indent + 2, indent_char)
    return lines
