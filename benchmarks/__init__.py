"""Whole-system and micro benchmarks: what the router costs, measured beside real peers in the same run.

`all.py` measures every bar (`cases/`), `relay.py` puts one relay after the other between the load tool's
sender and sink (router/bench), `peers/` starts the relays to compare and the ill destinations of
`destinations.py`. `library.py` and `library_limits.py` put the library beside pynetdicom, `recovery.py` times
a start that finds a full spool, `micro/` measures single functions. README.md has the results.
"""
