"""The load tool: a storage SCU and SCP that cost almost nothing, and what measures a relay between them.

`wire` encodes the few PDUs needed; `instances`, `files` and `kinds` make datasets whose UIDs are patched in
place. `sender` (`requestor`, `image`) and `sink` (`acceptor`, `manners`, `tally`) are single-threaded epoll
programs; what they do for each instance is compiled (`hot`). `controls` runs both as children, `measure`
puts a relay between them and reads what it costs, `rounds` compares several, `report` draws the page.
Stands beside `processes` and uses nothing of the router's protocol code: it judges it. `dicom-router bench`
(`router.apps.bench`) is its face; `benchmarks/` uses it to put the router beside other relays.
"""
