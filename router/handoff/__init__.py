"""Datasets from acceptors to workers through shared memory: slab, rings, tickets. Floor 5.
"""
