"""Run prepared exchanges on the event loop: awaited by a coroutine."""

from __future__ import annotations

from router.aio.connection import LoopConnection, TappedAssociation
from router.api.association_state import AssociationState
from router.api.exchange import Exchange, ResultT
from router.protocol.indications import MessageReceived


class Performing(AssociationState):
    """An association's state with a connection of the event loop's; under its verbs."""

    _connection: LoopConnection | None
    _protocol: TappedAssociation | None

    async def _perform(self, exchange: Exchange[ResultT]) -> ResultT:
        """Run one exchange; return what its response means, whatever became of it."""
        connection, protocol = self._connection, self._protocol
        assert connection is not None
        assert protocol is not None
        response: MessageReceived | None = None
        try:
            with self._failures_noted:
                number = connection.conversation.free_message_id(exchange.message_id)
                response = await connection.run(exchange.start(protocol, number), number)
        finally:
            exchange.close()
        return exchange.finish(response)
