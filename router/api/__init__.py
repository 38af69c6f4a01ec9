"""The library in the shape that pynetdicom users know. Floor 6.

No protocol logic lives here: exchanges are generators of router/services, negotiation is router/protocol's,
sockets and threads are router/drivers'. This room gives them names, checks arguments, decodes with pydicom
(imported late: it costs time), and calls the user's handlers.
Read first: ae.py (what a program configures), association.py and association_state.py (one association, both
sides), preparation.py (what its verbs send), events.py (handlers), transport.py (servers).
README.md tells what differs from pynetdicom, and why.
The modules directly under router/ that are a few lines long are the paths which programs import.
"""
