"""The load tool: a storage SCU and SCP that cost almost nothing, and what measures a relay between them.

`wire` encodes the few PDUs needed, `instances` makes datasets whose UIDs are patched in place, `sender` and
`sink` are single-threaded epoll programs, `measure` runs both around a relay and reads what it costs.
Stands beside `processes` and uses nothing of the router's protocol code: it judges it. `benchmarks/` uses
it to put the router beside other relays.
"""
