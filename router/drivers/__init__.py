"""The protocol on real sockets: blocking threads for the library, an event loop for the router. Floor 5.

Two drivers run the same associations (router/protocol) and procedures (router/services). The event loop's:
event_loop.py is what its connections share, connection.py is one of them, patience.py its deadlines, door.py
accepts. The threads': channel.py is bytes and time of one connection, blocking.py a connection in whichever
thread owns it, reactor.py the one thread that watches all that nobody owns, handler_threads.py what may
block, listener.py accepts.
For both: connect.py opens, near_peers.py knows which peers are near; tls.py, tls_context.py, tls_check.py,
tls_alerts.py and certificates.py (PS3.15 section B.12),
pace.py, pdu_tap.py, socket_options.py, descriptor_reserve.py.
"""
