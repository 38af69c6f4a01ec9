"""The upper layer without I/O: bytes become indications, verbs become bytes (PS3.8). Floor 2.

No socket, clock, thread, process or file lives here. states.py is Table 9-10; upper_layer.py walks it;
negotiation.py decides presentation contexts; messages.py joins fragments to messages; association.py is the
face the floors above use.
"""
