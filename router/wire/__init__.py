"""Bytes to objects and back: the PDUs of PS3.8 section 9.3, and the one switch to the codec. Floor 1."""
