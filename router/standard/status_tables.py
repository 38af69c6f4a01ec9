"""The statuses of each service: rows of `first[-last] class text`, codes in hexadecimal.

"general" (PS3.7 Annex C) is part of every service's table. The others are from PS3.4: storage Annex B,
query/retrieve C, procedure step F, print management H, worklist K, relevant patient Q, media creation S,
unified procedure step CC, RT machine verification DD, non-patient objects GG. Long meanings are shortened.
"""

from __future__ import annotations

TABLES: dict[str, str] = {
    "general": """
0000 Success
0105 Failure No Such Attribute
0106 Failure Invalid Attribute Value
0107 Warning Attribute List Error
0110 Failure Processing Failure
0111 Failure Duplicate SOP Instance
0112 Failure No Such SOP Instance
0113 Failure No Such Event Type
0114 Failure No Such Argument
0115 Failure Invalid Argument Value
0116 Warning Attribute Value Out of Range
0117 Failure Invalid Object Instance
0118 Failure No Such SOP Class
0119 Failure Class-Instance Conflict
0120 Failure Missing Attribute
0121 Failure Missing Attribute Value
0122 Failure Refused: SOP Class Not Supported
0123 Failure No Such Action
0124 Failure Refused: Not Authorised
0210 Failure Duplicate Invocation
0211 Failure Unrecognised Operation
0212 Failure Mistyped Argument
0213 Failure Resource Limitation
FE00 Cancel
""",
    "application-event-logging": """
B101 Warning Synchronization Frame of Reference UID is not that of the SCP
B102 Warning Study Instance UID coerced: event logged under another study
B104 Warning IDs inconsistent in matching a current study: event logged
C101 Failure No procedural logging for this Study Instance UID
C102 Failure Event Information does not match template
C103 Failure Cannot match event to a current study
C104 Failure IDs inconsistent in matching a current study: event not logged
C10E Failure Operator may not add to the Medication Administration Record
C110 Failure Patient not identified by Patient ID or Admission ID
C111 Failure Update of Medication Administration Record failed
""",
    "media-creation-management": """
0001 Warning Requested optional Attributes are not supported
A510 Failure Media creation was already initiated for this SOP Instance
C201 Failure Media creation request already completed
C202 Failure Media creation request already in progress and cannot be interrupted
C203 Failure Cancellation denied for unspecified reason
""",
    "worklist": """
A700 Failure Refused: Out of Resources
A900 Failure Identifier Does Not Match SOP Class
C000-CFFF Failure Unable to Process
FF00 Pending Matches are continuing: Optional Keys were supported like Required Keys
FF01 Pending Matches are continuing: one or more Optional Keys were not supported
""",
    "non-patient-object-storage": """
A700 Failure Refused: Out of Resources
A900 Failure Data Set Does Not Match SOP Class
C000 Failure Cannot Understand
""",
    "print-management": """
B600 Warning Memory allocation not supported
B601 Warning Film Session printing (collation) not supported
B602 Warning Film Session without Image Boxes (empty page)
B603 Warning Film Box without Image Boxes (empty page)
B604 Warning Image larger than its Image Box: demagnified
B605 Warning Requested Min Density or Max Density outside of the printer's range: its limit is used
B609 Warning Image larger than its Image Box: cropped to fit
B60A Warning Image or Combined Print Image larger than its Image Box: decimated to fit
C600 Failure Film Session without Film Boxes
C601 Failure Unable to create Print Job: print queue is full
C602 Failure Unable to create Print Job: print queue is full
C603 Failure Image larger than its Image Box
C605 Failure Insufficient memory in the printer
C613 Failure Combined Print Image larger than its Image Box
C616 Failure A Film Box waits to be printed, and N-ACTION of the Film Session is not supported
""",
    "procedure-step": """
0001 Warning Requested optional Attributes are not supported
""",
    "query-retrieve-find": """
A700 Failure Refused: Out of Resources
A710 Failure Invalid Prior Record Key
A900 Failure Identifier Does Not Match SOP Class
B001 Warning Response limit reached: a further request may return more matches
C000-CFFF Failure Unable to Process
FF00 Pending Matches are continuing: Optional Keys were supported like Required Keys
FF01 Pending Matches are continuing: one or more Optional Keys were not supported
""",
    "query-retrieve-get": """
A701 Failure Refused: Out of Resources: unable to calculate number of matches
A702 Failure Refused: Out of Resources: unable to perform sub-operations
A900 Failure Identifier Does Not Match SOP Class
AA00 Failure None of the requested frames is in the SOP Instance
AA01 Failure Unable to create a new object of this SOP Class
AA02 Failure Unable to extract frames
AA03 Failure Time-based request for an SOP Instance without time base
AA04 Failure Invalid request
B000 Warning Sub-operations complete: one or more failures or warnings
C000-CFFF Failure Unable to Process
FF00 Pending Sub-operations are continuing
""",
    "query-retrieve-move": """
A701 Failure Refused: Out of Resources: unable to calculate number of matches
A702 Failure Refused: Out of Resources: unable to perform sub-operations
A801 Failure Move destination unknown
A900 Failure Identifier Does Not Match SOP Class
AA00 Failure None of the requested frames is in the SOP Instance
AA01 Failure Unable to create a new object of this SOP Class
AA02 Failure Unable to extract frames
AA03 Failure Time-based request for an SOP Instance without time base
AA04 Failure Invalid request
B000 Warning Sub-operations complete: one or more failures or warnings
C000-CFFF Failure Unable to Process
FF00 Pending Sub-operations are continuing
""",
    "relevant-patient-information-query": """
A700 Failure Refused: Out of Resources
A900 Failure Identifier Does Not Match SOP Class
C000 Failure Unable to Process
C100 Failure More than one match found
C200 Failure Unable to support requested template
FF00 Pending Current match is supplied
""",
    "rt-machine-verification": """
C112 Failure No such object instance: Machine Verification instance not found
C221 Failure Referenced Fraction Group Number is not in the plan
C222 Failure No beams in the Fraction Group
C223 Failure Already verifying: request cannot be processed now
C224 Failure Referenced Beam Number is not in the Fraction Group
C225 Failure Referenced device or accessory not supported
C226 Failure Referenced device or accessory is not in the beam
C227 Failure No such object instance: Referenced RT Plan not found
""",
    "storage-management": """
B010 Warning Attribute List Error: one or more Key Attributes not supported for matching
""",
    "storage": """
A700-A7FF Failure Refused: Out of Resources
A900-A9FF Failure Data Set Does Not Match SOP Class
B000 Warning Coercion of Data Elements
B006 Warning Element Discarded
B007 Warning Data Set Does Not Match SOP Class
C000-CFFF Failure Cannot Understand
""",
    "substance-administration-query": """
A700 Failure Refused: Out of Resources
A900 Failure Data Set Does Not Match SOP Class
C000-CFFF Failure Unable to Process
FF00 Pending Matches are continuing: Optional Keys were supported like Required Keys
FF01 Pending Matches are continuing: one or more Optional Keys were not supported
""",
    "unified-procedure-step": """
0001 Warning Requested optional Attributes are not supported
A700 Failure Refused: Out of Resources
A900 Failure Identifier Does Not Match SOP Class
B300 Warning The UPS was created with modifications
B301 Warning Deletion lock not granted
B304 Warning The UPS is already in the requested state of CANCELED
B305 Warning Invalid values coerced to valid ones
B306 Warning The UPS is already in the requested state of COMPLETED
C000-C2FF Failure Unable to Process
C300 Failure The UPS may no longer be updated
C301 Failure Correct Transaction UID was not provided
C302 Failure The UPS is already IN PROGRESS
C303 Failure Only N-CREATE makes a UPS SCHEDULED, not N-SET or N-ACTION
C304 Failure The UPS does not meet the final state requirements
C305-C306 Failure Unable to Process
C307 Failure SOP Instance does not exist, or is not a UPS managed here
C308 Failure Receiving AE Title is unknown to this SCP
C309 Failure UPS State was not SCHEDULED
C30A-C30F Failure Unable to Process
C310 Failure The UPS is not yet in the IN PROGRESS state
C311 Failure The UPS is already COMPLETED
C312 Failure The performer cannot be contacted
C313 Failure Performer chooses not to cancel
C314 Failure Action not appropriate for this instance
C315 Failure SCP does not support Event Reports
C316-CFFF Failure Unable to Process
FF00 Pending Matches are continuing: Optional Keys were supported like Required Keys
FF01 Pending Matches are continuing: one or more Optional Keys were not supported
""",
}
"""Service -> its rows; read through `router.standard.statuses.status_table`."""
