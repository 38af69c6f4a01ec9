"""The configuration: one table of settings, all errors at once, what a reload may change. Floor 4.
"""
