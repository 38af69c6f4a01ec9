"""What `benchmarks.library` runs: the subjects (both libraries doing the same), and raw C-FIND peers.

A subject is one process for one library and one case; it obeys words on standard input, as the sink does.
"""
