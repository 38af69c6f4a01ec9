"""A DICOM router, and the DICOM networking library under it.

Floors (imports go downwards only): apps > processes > api, delivery > drivers, handoff, spool, routing >
config, metrics > services > protocol > wire > standard, errors. See ARCHITECTURE.md.
"""

__version__ = "0.1.0"
