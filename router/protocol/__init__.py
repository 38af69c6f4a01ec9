"""The upper layer without I/O: bytes become indications, verbs become bytes (PS3.8). Floor 2.

No socket, clock, thread, process or file lives here. states.py is Table 9-10; upper_layer.py walks it;
negotiation.py decides presentation contexts; incoming_message.py has a message arrive, in one of the sinks of
messages.py or of the floors above; association.py is the face the floors above use.
"""
