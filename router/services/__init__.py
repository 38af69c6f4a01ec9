"""Each DIMSE exchange written once, as a pair of generators request() and respond() (PS3.7). Floor 3.

A procedure yields what it waits for (steps.py) and knows neither sockets nor threads nor clocks;
conversation.py runs those of one association for either driver. One file each: c_echo, c_store, c_find,
c_get, c_move, c_cancel, n_services (all six on normalised SOP Instances), establish and release. What several
of them share: query.py and sub_operations.py (C-FIND, C-GET, C-MOVE), response.py (the asking side), reply.py
(the answering side), message_ids.py, failed_instances.py.
"""
