"""The elements that a query's command line names: `-k PatientName=Doe*`, `-k "BeamSequence[0].BeamName="`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

ITEMS_MAX = 1000
"""Of one sequence: `[N]` makes all items up to the Nth."""

UTF_8 = "ISO_IR 192"

INTEGER_VRS = frozenset({"SL", "SS", "SV", "UL", "US", "UV", "US or SS"})
DECIMAL_VRS = frozenset({"FD", "FL"})
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW"})
SINGLE_VALUE_VRS = frozenset({"LT", "ST", "UR", "UT"})

_TAG = re.compile(r"\(\s*([0-9A-Fa-f]{4})\s*,\s*([0-9A-Fa-f]{4})\s*\)")
_COMPONENT = re.compile(r"(\([^)]*\)|[A-Za-z][A-Za-z0-9]*)(?:\[(\d+)\])?")


class ElementPath:
    """An element, perhaps inside sequences, and the value it shall have: `Keyword[item].(gggg,eeee)=value`.

    tag, VR: of the path's first element. item_nr: which item of it, if it is a sequence. child: the rest of
    the path. value: the text behind the equals sign; a backslash separates several values.
    Raises ValueError for what is no path.
    """

    def __init__(self, path: str) -> None:
        where, _, self.value = path.partition("=")
        head = _COMPONENT.match(where)
        if head is None:
            raise ValueError(f"{path!r} does not begin with a keyword or a (gggg,eeee) tag")
        self.tag = _tag_of(head[1])
        self.VR = _vr_of(self.tag)
        self.item_nr = None if head[2] is None else int(head[2])
        self.child: ElementPath | None = None
        rest = where[head.end() :]
        if self.item_nr is not None:
            self._check_item()
        if rest:
            if not rest.startswith(".") or self.item_nr is None:
                raise ValueError(f"{path!r}: {rest!r} is not understood; items are Sequence[0].Keyword")
            self.child = ElementPath(path[head.end() + 1 :])
        elif self.item_nr is not None and self.value:
            raise ValueError(f"{path!r}: an item of a sequence has no value of its own")
        elif self.VR == "SQ" and self.item_nr is None and self.value:
            raise ValueError(f"{path!r}: a sequence has items, not a value")
        else:
            self._converted()  # so that a bad value is found at once

    @property
    def is_sequence(self) -> bool:
        """Whether the path's first element is a sequence."""
        return self.VR == "SQ"

    def update(self, dataset: Dataset) -> Dataset:
        """Give the element its value in a dataset; items on the way are made. Returns the dataset."""
        if self.item_nr is None:
            dataset.add(DataElement(self.tag, _plain_vr(self.VR), self._converted()))
            return dataset
        if self.tag not in dataset or not isinstance(dataset[self.tag].value, Sequence):
            dataset.add(DataElement(self.tag, "SQ", Sequence()))
        items = dataset[self.tag].value
        # Sequence[3]= alone makes four empty items, as does what is put into item 3.
        wanted = self.item_nr + 1
        while len(items) < wanted:
            items.append(Dataset())
        if self.child is not None:
            self.child.update(items[self.item_nr])
        return dataset

    def _check_item(self) -> None:
        if self.VR != "SQ":
            raise ValueError(f"{self.tag} is no sequence: it has no items")
        if self.item_nr is not None and self.item_nr >= ITEMS_MAX:
            raise ValueError(f"item {self.item_nr} is beyond the {ITEMS_MAX} that are allowed")

    def _converted(self) -> Any:
        if self.VR == "SQ":
            return Sequence()
        if not self.value:
            return b"" if self.VR in BINARY_VRS else None
        if self.VR in BINARY_VRS:
            return bytes.fromhex(self.value)
        if self.VR in SINGLE_VALUE_VRS:
            return self.value
        values = [_convert(self.VR, text) for text in self.value.split("\\")]
        return values[0] if len(values) == 1 else values


def keyword_argument(text: str) -> ElementPath:
    """Return the path that an option's argument is; for argparse."""
    try:
        return ElementPath(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def create_dataset(args: argparse.Namespace) -> Dataset:
    """Return the query: what the file of the options holds, and the elements they name over it.

    Raises OSError and what pydicom raises for a file that is no dataset.
    """
    dataset = Dataset()
    if args.file:
        # Query files often have no preamble, so pydicom shall not insist on one.
        dataset = dcmread(args.file, force=True)
        if not len(dataset):
            raise ValueError(f"{Path(args.file).name} holds no elements")
    elements: list[ElementPath] = args.keyword or []
    for element in elements:
        element.update(dataset)
    if "SpecificCharacterSet" not in dataset and not all(_is_ascii(element) for element in elements):
        dataset.SpecificCharacterSet = UTF_8
    return dataset


def _is_ascii(element: ElementPath) -> bool:
    return element.value.isascii()


def _tag_of(text: str) -> BaseTag:
    if text.startswith("("):
        found = _TAG.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a (gggg,eeee) tag")
        return Tag(int(found[1], 16), int(found[2], 16))
    number = tag_for_keyword(text)
    if number is None:
        raise ValueError(f"{text!r} is not the keyword of an element")
    return Tag(number)


def _vr_of(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _plain_vr(vr: str) -> str:
    """Return one VR where the dictionary leaves a choice."""
    return vr.partition(" or ")[0] if vr != "US or SS or OW" else "US"


def _convert(vr: str, text: str) -> Any:
    if vr in INTEGER_VRS:
        return int(text)
    if vr in DECIMAL_VRS:
        return float(text)
    if vr == "AT":
        found = _TAG.fullmatch(text if text.startswith("(") else f"({text[:4]},{text[4:]})")
        if found is None:
            raise ValueError(f"{text!r} is not a tag")
        return Tag(int(found[1], 16), int(found[2], 16))
    return text
