"""Whole-system and micro benchmarks: what the router costs, measured beside real peers in the same run.

`load/` holds a sender and a sink that cost almost nothing, `peers/` starts the relays to compare, and
`relay.py` measures each relay between the two in paired rounds. Nothing here imports the router's code: the
router is one more relay.
"""
