"""The asyncio face of the library: the same application entity, associations awaited instead of blocking.

On router/api, which knows nothing of it and whose settings, contexts, events, states of associations and
servers, and preparation of requests it shares. Exchanges are the same generators of router/services, run by
router/drivers/event_loop.py instead of router/drivers/blocking.py.
Read first: ae.py (associate, start_server), association.py (one association), asking.py (handlers, which may
be plain functions or asynchronous ones). But for loading pydicom once, everything happens in the loop.
"""

from router.aio.ae import AE
from router.aio.association import Association
from router.aio.server import Server

__all__ = ["AE", "Association", "Server"]
