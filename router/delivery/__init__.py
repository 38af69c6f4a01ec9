"""Sending to destinations: pooled associations, retries by class of error. Floor 6.
"""
