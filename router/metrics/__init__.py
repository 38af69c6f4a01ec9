"""Every metric once, counted in shared pages, read out by the admin process. Floor 4.
"""
