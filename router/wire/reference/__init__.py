"""The pure-Python twin of _codec: same names, same results, same errors at the same offset."""
