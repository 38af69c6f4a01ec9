"""Relays to compare with: each module knows how to start and stop one real peer between a sender and a sink.

A peer is a process of its own with a directory of its own, ended by its own process id. `process` and
`relays` hold what all of them share; `relays.RELAYS` lists them by name.
"""
