"""Compiled leaves of the codec: bytes in, numbers and views out; imports nothing of ours.

Each function has a pure-Python twin of the same name in router/wire/reference, held equal by differential
tests.
"""
