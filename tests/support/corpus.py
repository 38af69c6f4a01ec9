"""Instances to send: pydicom's own test files exactly as they lie on disk, and synthetic ones of any size."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from router.bench.instances import (
    MULTI_FRAME_WORD_STORAGE,
    element,
    image_head,
    instance_uid,
    template,
)

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
# For files without meta information, by pydicom's (implicit VR, little endian).
GUESSED: dict[tuple[bool | None, bool | None], str] = {
    (True, True): IMPLICIT_VR_LITTLE_ENDIAN,
    (False, True): EXPLICIT_VR_LITTLE_ENDIAN,
    (False, False): EXPLICIT_VR_BIG_ENDIAN,
}
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"  # the index of a medium: never travels by C-STORE
PREAMBLE_BYTES = 128
LONG_FORM_VRS = frozenset({b"OB", b"OW", b"UN", b"SQ", b"UT"})
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as it goes over the wire.

    dataset: the encoded dataset exactly as in the file, everything after group 0002; one NUL more where
    that is odd, because fragments are even (PS3.8 Annex E.1). sha256: its hex digest.
    complete: the dataset itself names its SOP class and instance; else they are the file meta information's.
    """

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    dataset_offset: int
    dataset: bytes
    sha256: str
    complete: bool

    @property
    def name(self) -> str:
        """A short name for test ids."""
        return self.path.name


@lru_cache(maxsize=1)
def corpus() -> tuple[Instance, ...]:
    """Return every pydicom test file that has a SOP class, in the order of their paths.

    The media directories (DICOMDIR) are left out: their SOP class is for media, not for the network.
    """
    from pydicom.data import get_testdata_files

    paths = sorted(Path(name) for name in get_testdata_files() if Path(name).is_file())
    found = (read_instance(path) for path in paths)
    return tuple(instance for instance in found if instance is not None)


def unique_by_uid(instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Return the first instance of each SOP Instance UID: for sinks that keep one per UID."""
    return tuple({instance.sop_instance: instance for instance in reversed(instances)}.values())[::-1]


def dataset_of_file(data: bytes) -> bytes:
    """Return the encoded dataset inside the octets of a DICOM file (PS3.10 section 7.1)."""
    return data[_read_meta(data)[1] :]


def transfer_syntax_of_file(data: bytes) -> str:
    """Return the transfer syntax that the file meta information names."""
    return _read_meta(data)[0][0x0010]


@dataclass(frozen=True, slots=True)
class Multiframe:
    """A synthetic multi-frame instance of any size, made block by block and never held as a whole.

    pixel_bytes: even, below 4 GiB.
    """

    sop_instance: str
    pixel_bytes: int
    sop_class: str = MULTI_FRAME_WORD_STORAGE
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN

    def blocks(self) -> Iterator[bytes]:
        """Yield the dataset in order; every block of pixels begins with its own number."""
        frames = max(1, self.pixel_bytes // (512 * 512 * 2))
        yield image_head(self.sop_class, "OT", self.sop_instance, rows=512, columns=512, frames=frames)
        yield element(0x7FE0, 0x0010, "OW", b"")[:-4] + struct.pack("<I", self.pixel_bytes)
        pattern = bytes(range(256)) * (BLOCK_BYTES // 256)
        for start in range(0, self.pixel_bytes, BLOCK_BYTES):
            block = struct.pack("<Q", start) + pattern[8:]
            yield block[: self.pixel_bytes - start]

    @property
    def dataset_bytes(self) -> int:
        """The size of the whole encoded dataset."""
        blocks = self.blocks()
        return len(next(blocks)) + len(next(blocks)) + self.pixel_bytes


def write_synthetic(path: Path, run: int, number: int, kind: str = "small", sop_class: str = "") -> Instance:
    """Write one synthetic instance as a DICOM file and return it; sop_class: in place of the kind's own."""
    model = template(kind)
    uid, sop_class = instance_uid(run, number), sop_class or model.sop_class
    dataset = model.dataset_of(uid)
    dataset = dataset.replace(
        element(0x0008, 0x0016, "UI", model.sop_class), element(0x0008, 0x0016, "UI", sop_class), 1
    )
    elements = b"".join(
        (
            element(0x0002, 0x0001, "OB", b"\0\1"),
            element(0x0002, 0x0002, "UI", sop_class),
            element(0x0002, 0x0003, "UI", uid),
            element(0x0002, 0x0010, "UI", model.transfer_syntax),
            element(0x0002, 0x0012, "UI", "2.25.204781153"),
        )
    )
    group_length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements))
    path.write_bytes(bytes(PREAMBLE_BYTES) + b"DICM" + group_length + elements + dataset)
    instance = read_instance(path)
    assert instance is not None
    return instance


def read_instance(path: Path) -> Instance | None:
    """Read a DICOM file; None if it has no SOP class or is a medium's index."""
    from pydicom import dcmread

    data = path.read_bytes()
    meta, offset = _read_meta(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
        own_class, own_instance = (
            str(dataset.get("SOPClassUID") or ""),
            str(dataset.get("SOPInstanceUID") or ""),
        )
    except Exception as error:
        raise ValueError(f"{path}: pydicom cannot read its own test file") from error
    sop_class, sop_instance = own_class or meta.get(0x0002), own_instance or meta.get(0x0003)
    if not sop_class or not sop_instance or sop_class == MEDIA_STORAGE_DIRECTORY:
        return None
    encoded = data[offset:] + bytes((len(data) - offset) % 2)
    return Instance(
        path=path,
        sop_class=sop_class,
        sop_instance=sop_instance,
        transfer_syntax=meta.get(0x0010) or GUESSED[dataset.original_encoding],
        dataset_offset=offset,
        dataset=encoded,
        sha256=hashlib.sha256(encoded).hexdigest(),
        complete=bool(own_class and own_instance),
    )


def _read_meta(data: bytes) -> tuple[dict[int, str], int]:
    """Return the UI values of group 0002 by element number, and where the dataset begins."""
    offset = PREAMBLE_BYTES + 4 if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM" else 0
    meta: dict[int, str] = {}
    while data[offset : offset + 2] == b"\x02\x00":
        number = int.from_bytes(data[offset + 2 : offset + 4], "little")
        vr = data[offset + 4 : offset + 6]
        if vr in LONG_FORM_VRS:
            length, head = int.from_bytes(data[offset + 8 : offset + 12], "little"), 12
        else:
            length, head = int.from_bytes(data[offset + 6 : offset + 8], "little"), 8
        value = data[offset + head : offset + head + length]
        if vr == b"UI":
            meta[number] = value.rstrip(b"\0 ").decode("ascii")
        offset += head + length
    return meta, offset
