"""The library in the shape that pynetdicom users know; no protocol logic. Floor 6.
"""
