"""The Standard as data: SOP classes, transfer syntaxes, statuses, reasons and DIMSE fields. Floor 0."""
