"""Datasets from acceptors to workers through shared memory. Floor 5.

An acceptor receives a dataset into slots of its own `slab`. A `ticket` naming the slots goes down a ring
of the `channel` it shares with one worker; a receipt with the DIMSE status comes back up. A ticket is a
loan: `dispatch` (acceptor) keeps it until the worker's `intake` has given the slots back, and lends it
again when the worker dies. `pressure` turns what is full into what to do about it.

Whatever a process can leave behind when it is killed between two instructions is repaired by whoever comes
next: a restarted worker says Hello (what was lost is sent again), a restarted acceptor asks for a Recount
(slots lent by its predecessor come back), and each side rings the other's doorbell once when it opens its
end.
"""
