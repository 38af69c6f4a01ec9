"""The Standard as data: what PS3.4, PS3.6, PS3.7 and PS3.8 list in tables. Floor 0, imports nothing of ours.

uids                single UIDs that code names, our own identity, what a UID may look like
sop_classes         SOP class -> name and service (sop_class_table is its generated data)
transfer_syntaxes   transfer syntax -> how it encodes a dataset
statuses            DIMSE status -> class and words (status_tables holds the rows of each service)
dimse_fields        command elements, their VRs, command field values
reasons             A-ABORT and A-ASSOCIATE-RJ numbers and their words
attributes          data elements by keyword and tag
printable           peer-controlled text made safe to print
"""
