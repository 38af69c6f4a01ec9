"""What is owed and where the bytes are: segments, group commit, recovery, ledger. Floor 5.
"""
