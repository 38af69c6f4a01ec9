"""Synthetic instances whose UIDs have a fixed length and place, so that a new instance costs one patch.

A UID is `2.25.` + 1 + run (8 digits) + number (10 digits): 24 characters, even, valid (PS3.5 section 9 and
B.2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_STORAGE = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME_WORD_STORAGE = "1.2.840.10008.5.1.4.1.1.7.3"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

UID_BYTES = 24
OWN_PREFIX = "2.25.1"
RUN_MAX = 10**8
NUMBER_BYTES = 10
BASIC_TEXT_SR_STORAGE = "1.2.840.10008.5.1.4.1.1.88.11"

# kind -> (SOP class, modality, rows, columns, frames; 0 frames: not a multi-frame object), all of 16 bit
IMAGES: dict[str, tuple[str, str, int, int, int]] = {
    "ct": (CT_IMAGE_STORAGE, "CT", 512, 512, 0),
    "mr": (MR_IMAGE_STORAGE, "MR", 256, 256, 0),
    "small": (SECONDARY_CAPTURE_STORAGE, "OT", 26, 32, 0),
    "tiny": (SECONDARY_CAPTURE_STORAGE, "OT", 2, 2, 0),
    "multiframe": (MULTI_FRAME_WORD_STORAGE, "OT", 512, 512, 20),
}
KINDS = (*IMAGES, "sr")
"""ct: 526 kB; mr: 132 kB; small: 2 kB; tiny: 1 kB; multiframe: 10.5 MB; sr: a report of 4 kB."""
REPORT_ITEMS = 24

LONG_VRS = frozenset({"OB", "OW", "UN", "SQ", "UT", "OF", "OD"})
PLACEHOLDER_UID = "2.25.1" + "0" * 18


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of instance: everything but the SOP Instance UID is the same in all of its instances.

    dataset: Explicit VR Little Endian; uid_offset: where the value of (0008,0018) begins in it.
    """

    name: str
    sop_class: str
    transfer_syntax: str
    dataset: bytes
    uid_offset: int

    def dataset_of(self, uid: str) -> bytes:
        """Return the whole dataset of the instance with this UID (24 characters)."""
        end = self.uid_offset + UID_BYTES
        return self.dataset[: self.uid_offset] + uid.encode() + self.dataset[end:]

    def holds(self, part: memoryview, offset: int, uid: bytes) -> bool:
        """Tell whether `part` is what stands at `offset` in the dataset of the instance with this UID."""
        uid_end = self.uid_offset + UID_BYTES
        if offset >= uid_end:
            return self.dataset.startswith(part, offset)
        expected = self.dataset[: self.uid_offset] + uid + self.dataset[uid_end : offset + len(part)]
        return expected.startswith(part, offset)


def instance_uid(run: int, number: int) -> str:
    """Return the SOP Instance UID of one instance of one run."""
    return f"2.25.1{run:08d}{number:010d}"


def number_of(uid: bytes | str) -> int:
    """Return the instance number inside a UID of `instance_uid`."""
    return int(uid[-NUMBER_BYTES:])


def template(kind: str) -> Template:
    """Return the template of one of KINDS."""
    if kind in IMAGES:
        sop_class, modality, rows, columns, frames = IMAGES[kind]
        return _image(kind, sop_class, modality, rows=rows, columns=columns, frames=frames)
    if kind == "sr":
        return _report(kind)
    raise ValueError(f"unknown kind of instance {kind!r}; known: {', '.join(KINDS)}")


def element(group: int, number: int, vr: str, value: str | bytes | int) -> bytes:
    """Encode one element in Explicit VR Little Endian (PS3.5 section 7.1.2)."""
    if isinstance(value, int):
        data = struct.pack("<H", value)
    elif isinstance(value, str):
        data = value.encode() + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    else:
        data = value
    if vr in LONG_VRS:
        return struct.pack("<HH2s2xI", group, number, vr.encode(), len(data)) + data
    return struct.pack("<HH2sH", group, number, vr.encode(), len(data)) + data


def image_head(sop_class: str, modality: str, uid: str, *, rows: int, columns: int, frames: int = 0) -> bytes:
    """Encode everything before the pixel data of a 16-bit monochrome image; the person is invented."""
    parts = [
        element(0x0008, 0x0005, "CS", "ISO_IR 100"),
        element(0x0008, 0x0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        element(0x0008, 0x0016, "UI", sop_class),
        element(0x0008, 0x0018, "UI", uid),
        element(0x0008, 0x0020, "DA", "20200101"),
        element(0x0008, 0x0030, "TM", "120000"),
        element(0x0008, 0x0050, "SH", "A1"),
        element(0x0008, 0x0060, "CS", modality),
        element(0x0008, 0x0064, "CS", "WSD"),
        element(0x0008, 0x0070, "LO", "Load tool"),
        element(0x0008, 0x0090, "PN", ""),
        element(0x0008, 0x1030, "LO", "Synthetic study"),
        element(0x0010, 0x0010, "PN", "Synthetic^Subject"),
        element(0x0010, 0x0020, "LO", "SYNTHETIC-1"),
        element(0x0010, 0x0030, "DA", ""),
        element(0x0010, 0x0040, "CS", "O"),
        element(0x0020, 0x000D, "UI", "2.25.7001"),
        element(0x0020, 0x000E, "UI", "2.25.7002"),
        element(0x0020, 0x0010, "SH", "1"),
        element(0x0020, 0x0011, "IS", "1"),
        element(0x0020, 0x0013, "IS", "1"),
        element(0x0028, 0x0002, "US", 1),
        element(0x0028, 0x0004, "CS", "MONOCHROME2"),
    ]
    if frames:
        parts.append(element(0x0028, 0x0008, "IS", str(frames)))
    pixel_module = (
        (0x0010, rows),
        (0x0011, columns),
        (0x0100, 16),
        (0x0101, 16),
        (0x0102, 15),
        (0x0103, 0),
    )
    parts += [element(0x0028, number, "US", value) for number, value in pixel_module]
    return b"".join(parts)


def _image(name: str, sop_class: str, modality: str, *, rows: int, columns: int, frames: int) -> Template:
    head = image_head(sop_class, modality, PLACEHOLDER_UID, rows=rows, columns=columns, frames=frames)
    frame = b"".join(struct.pack("<H", (i * 2654435761 >> 13) & 0xFFFF) for i in range(rows * columns))
    dataset = head + element(0x7FE0, 0x0010, "OW", frame * max(1, frames))
    return _placed(name, sop_class, dataset)


def _report(name: str) -> Template:
    """Build a Basic Text SR: a container of text items, nested sequences of defined length."""
    items = b"".join(
        _item(
            element(0x0040, 0xA010, "CS", "CONTAINS"),
            element(0x0040, 0xA040, "CS", "TEXT"),
            element(0x0040, 0xA043, "SQ", _code("121071", "DCM", "Finding")),
            element(0x0040, 0xA160, "UT", f"Finding {number}: nothing that a load tool could have found."),
        )
        for number in range(REPORT_ITEMS)
    )
    dataset = b"".join(
        (
            element(0x0008, 0x0005, "CS", "ISO_IR 100"),
            element(0x0008, 0x0016, "UI", BASIC_TEXT_SR_STORAGE),
            element(0x0008, 0x0018, "UI", PLACEHOLDER_UID),
            element(0x0008, 0x0020, "DA", "20200101"),
            element(0x0008, 0x0060, "CS", "SR"),
            element(0x0010, 0x0010, "PN", "Synthetic^Subject"),
            element(0x0010, 0x0020, "LO", "SYNTHETIC-1"),
            element(0x0020, 0x000D, "UI", "2.25.7001"),
            element(0x0020, 0x000E, "UI", "2.25.7003"),
            element(0x0040, 0xA040, "CS", "CONTAINER"),
            element(0x0040, 0xA043, "SQ", _code("18748-4", "LN", "Diagnostic imaging report")),
            element(0x0040, 0xA491, "CS", "COMPLETE"),
            element(0x0040, 0xA493, "CS", "UNVERIFIED"),
            element(0x0040, 0xA730, "SQ", items),
        )
    )
    return _placed(name, BASIC_TEXT_SR_STORAGE, dataset)


def _item(*elements: bytes) -> bytes:
    content = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _code(value: str, scheme: str, meaning: str) -> bytes:
    return _item(
        element(0x0008, 0x0100, "SH", value),
        element(0x0008, 0x0102, "SH", scheme),
        element(0x0008, 0x0104, "LO", meaning),
    )


def _placed(name: str, sop_class: str, dataset: bytes) -> Template:
    uid_offset = dataset.index(PLACEHOLDER_UID.encode())
    return Template(name, sop_class, EXPLICIT_VR_LITTLE_ENDIAN, dataset, uid_offset)
