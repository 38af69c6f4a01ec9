"""Sending to destinations: pooled associations, retries by class of error. Floor 6.

The worker hands each instance to the Destination objects its decision names (destination.py). A destination
sorts what it owes by presentation context (waiting_items.py, fair.py), borrows associations from its pool
(pool.py), runs services/c_store.request on them (sender.py) and judges the outcome by one table (retry.py):
deliver, try again later (circuit.py, back_off.py), or give up and keep it. One destination never waits for
another: they share nothing but the event loop.
"""
