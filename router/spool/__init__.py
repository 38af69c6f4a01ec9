"""What is owed and where the bytes are: segments, group commit, recovery, ledger. Floor 5.

Two narrow interfaces, so that a cluster profile can replace either: the **ledger** knows what is owed to
whom and the **payload store** knows where the bytes are. One spool directory per worker index, used by
one process.

An instance comes in through `writer.py`: `append` puts the dataset and the frozen decision into a segment
(format: `segment.py`; made ahead by `segment_supply.py`; objects of many megabytes: a file of their own,
`large.py`), `group_commit.py` makes whole groups durable with one sync each, and only then may anybody be
told that it is stored. From there the ledger carries one state per (instance, destination) until each is
settled (in one row for many where nothing has happened yet, `ledger_runs.py`); marks are written behind and
may be lost, which costs a duplicate and never an instance. `payload.py` reads datasets back and deletes what
is settled; `ledger_retention.py` says which data may go, `ledger_pruning.py` when the ledger forgets.

`recover.py` runs at start: the segments are the truth, the ledger catches up from them, after
`ledger_verify.py` has seen that it says what was written into it; else it is made anew from them. All
system calls that can fail go through `disk.py`, so that tests fail each of them. `spool.py` opens all of it
in the right order.
"""
