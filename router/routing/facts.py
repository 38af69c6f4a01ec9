"""What rules look at, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Values = tuple[str, ...]
Attributes = Mapping[int, Values]  # tag -> values; an element that is there but empty has the one value ""
Action = Literal["forward", "hold", "reject", "discard"]


@dataclass(slots=True)
class Facts:
    """One instance, as rules see it. peer_address: as of the socket. sop_class, transfer_syntax: UIDs."""

    calling_ae_title: str = ""
    called_ae_title: str = ""
    peer_address: str = ""
    sop_class: str = ""
    transfer_syntax: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Where an instance goes. destinations: in order of first mention, each once. rules: which matched."""

    destinations: tuple[str, ...]
    action: Action
    rules: tuple[str, ...]
