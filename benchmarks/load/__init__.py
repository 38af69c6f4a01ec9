"""A storage SCU and SCP that cost almost nothing, so that what lies between them is what is measured.

`wire` encodes the few PDUs needed, `instances` makes datasets whose UIDs can be patched in place, `sender`
and
`sink` are single-threaded epoll programs. Independent of the router's code: they are also the judges of it.
"""
