"""Load pydicom once and whole. It costs time, and two threads that begin at once may each get half of it.

Its modules import each other in circles, which Python's import locks break by handing out unfinished modules.
So whoever begins to serve or to associate loads all of it that this library uses, one thread at a time.
"""

from __future__ import annotations

import threading
from importlib import import_module

MODULES = ("", ".charset", ".dataset", ".filebase", ".filereader", ".filewriter", ".sequence", ".tag", ".uid")
"""What this library uses. The package first: its submodules alone would not wait for it."""

NEW_SYNTAXES = {
    "1.2.840.10008.1.2.4.110": ("JPEG XL Lossless", "JPEGXLLossless"),
    "1.2.840.10008.1.2.4.111": ("JPEG XL JPEG Recompression", "JPEGXLJPEGRecompression"),
    "1.2.840.10008.1.2.4.112": ("JPEG XL", "JPEGXL"),
    "1.2.840.10008.1.2.8.1": ("Deflated Image Frame Compression", "DeflatedImageFrameCompression"),
}
"""Transfer syntaxes of PS3.6 Table A-1 that pydicom's dictionary may not have: UID -> name, keyword."""

_loading = threading.Lock()
_is_loaded = False


def is_loaded() -> bool:
    """Whether load() has nothing more to do."""
    return _is_loaded


def load() -> None:
    """Load what this library uses of pydicom; wait for another thread that does so already."""
    global _is_loaded  # noqa: PLW0603 - once per process is the point
    if _is_loaded:
        return
    with _loading:
        for name in MODULES:
            import_module(f"pydicom{name}")
        _name_new_syntaxes()
        _is_loaded = True


def _name_new_syntaxes() -> None:
    from pydicom._uid_dict import UID_dictionary

    for uid, (name, keyword) in NEW_SYNTAXES.items():
        UID_dictionary.setdefault(uid, (name, "Transfer Syntax", "", "", keyword))
