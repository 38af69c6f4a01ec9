"""Compiled leaves of the codec: bytes in, numbers and views out; imports nothing of ours.

Each function has a pure-Python twin of the same name in router/wire/reference (`load`, the load tool's, in
router/bench/reference), held equal by differential tests.
"""
