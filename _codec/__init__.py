"""Compiled leaves of the codec: bytes in, numbers and views out; imports nothing of ours.

Each function has a pure-Python twin of the same name in router/wire/reference (`load`, the load tool's, in
router/bench/reference), held equal by differential tests; a lane's twin is the general way that its file
names.

The stream     framing, scatter_window (in), pdata (out), command, reception (socket to lane and back),
               traffic (what passed)
Datasets       dataset (attributes), structure (nesting)
Hand-over      ring, doorbell, ticket_port, tally (counts)
Lanes          store_lane (acceptor); forward_lane, entry_lane, outlet, send_lane, gathering (worker);
               handler_lane (library)
Spool          commit_lane, segment_window, ledger_told, ledger_rows, sqlite_link
Load tool      load
A .pxd without a .pyx holds inline functions that several modules share.
"""
