"""Run prepared exchanges on a blocking connection, in the thread of the caller."""

from __future__ import annotations

from router.api.association_state import AssociationState
from router.api.exchange import Exchange, ResultT
from router.drivers.blocking import BlockingConnection
from router.protocol.indications import MessageReceived


class Performing(AssociationState):
    """An association's state with a connection that blocks; under its verbs."""

    _connection: BlockingConnection | None

    def _perform(self, exchange: Exchange[ResultT]) -> ResultT:
        """Run one exchange to its end; return what its response means, whatever became of it.

        After a DIMSE timeout the association is aborted.
        """
        connection, protocol = self._connection, self._protocol
        assert connection is not None
        assert protocol is not None
        response: MessageReceived | None = None
        try:
            with self._failures_noted, connection.turn:
                number = connection.conversation.free_message_id(exchange.message_id)
                response = connection.run(exchange.start(protocol, number), number)
        finally:
            exchange.close()
        return exchange.finish(response)
