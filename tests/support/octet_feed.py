"""What a driver does for one association, without a socket: octets in, octets out."""

from __future__ import annotations

from router.protocol.association import Association
from router.services.conversation import Conversation


class OctetFeed:
    """out: octets sent. inbound: octets that have come and are not taken yet."""

    association: Association
    conversation: Conversation

    def __init__(self) -> None:
        self.out = b""
        self.inbound = b""

    def advance(self) -> None:
        """Take what was kept, as far as it goes; send."""
        association = self.association
        for _ in range(1000):
            self.conversation.pump()
            if association.blocked and not association.resume():
                break
            if not self.inbound:
                break
            consumed = association.receive(self.inbound, 0, len(self.inbound))
            self.inbound = self.inbound[consumed:]
        self.conversation.pump()
        while parts := association.next_output():
            self.out += b"".join(map(bytes, parts))

    def feed(self, octets: bytes, split: int) -> None:
        """Let octets come in, so many at a time."""
        for start in range(0, len(octets), split):
            self.inbound += octets[start : start + split]
            self.advance()
