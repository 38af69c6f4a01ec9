# ruff: noqa: E501 - meanings are as long as they are
"""The statuses of each service: rows of `first[-last] class text`, codes in hexadecimal.

"general" (PS3.7 Annex C) is part of every service's table. The others are from PS3.4: storage Annex B,
query/retrieve C, procedure step F, print management H, worklist K, relevant patient Q, media creation S,
unified procedure step CC, RT machine verification DD, non-patient objects GG.
"""

from __future__ import annotations

TABLES: dict[str, str] = {
    "general": """
0000 Success
0105 Failure No Such Attribute
0106 Failure Invalid Attribute Value
0107 Warning Attribute List Error
0110 Failure Processing Failure
0111 Failure Duplication SOP Instance
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
B101 Warning Specified Synchronisation Frame of Reference UID doesn't match SCP Synchronization Frame of Reference
B102 Warning Study Instance UID coercion; event logged under a different Study Instance UID
B104 Warning IDs inconsistent in matching a current study; event logged
C101 Failure Procedural logging not available for specified Study Instance UID
C102 Failure Event Information doesn't match template
C103 Failure Cannot match event to a current study
C104 Failure IDs inconsistent in matching a current study; event not logged
C10E Failure Operator not authorised to add entry to Medication Administration Record
C110 Failure Patient cannot be identified from Patient ID (0010,0020) or Admission ID (0038,0010)
C111 Failure Update of Medication Administration Record failed
""",
    "media-creation-management": """
0001 Warning Requested optional Attributes are not supported
A510 Failure An Initiate Media Creation action has already been received for this SOP Instance
C201 Failure Media creation request already completed
C202 Failure Media creation request already in progress and cannot be interrupted
C203 Failure Cancellation denied for unspecified reason
""",
    "worklist": """
A700 Failure Refused: Out of resources
A900 Failure Identifier does not match SOP class
C000-CFFF Failure Unable to Process
FF00 Pending Matches are continuing - current match is supplied and any Optional Keys were supported in the same manner as Required Keys
FF01 Pending Matches are continuing - warning that one or more Optional Keys were not supported for existence for this Identifier
""",
    "non-patient-object-storage": """
A700 Failure Out of resources
A900 Failure Data set doesn't match SOP Class
C000 Failure Cannot understand
""",
    "print-management": """
B600 Warning Memory allocation not supported
B601 Warning Film session printing (collation) is not supported
B602 Warning Film Session SOP Instance hierarchy does not contain Image Box SOP Instances (empty page)
B603 Warning Film Box SOP Instance hierarchy does not contain Image Box SOP Instances (empty page)
B604 Warning Image size is larger than image box size, the image has been demagnified
B605 Warning Requested minimum density or maximum density outside of printer's operating range. The print will use its respective minimum or maximum density value instead
B609 Warning Image size is larger than the image box size, the image has been cropped to fit
B60A Warning Image size or Combined Print Image size is larger than the image box size, image or combined print image has been decimated to fit
C600 Failure Film Session SOP Instance hierarchy does not contain Film Box SOP Instances
C601 Failure Unable to create Print Job SOP Instance; print queue is full
C602 Failure Unable to create Print Job SOP instance; print queue is full
C603 Failure Image size is larger than image box size
C605 Failure Insufficient memory in printer to store the image
C613 Failure Combined print image size is larger than the image box size
C616 Failure There is an existing film box that has not been printed and N-ACTION at the film session level is not supported. A new film box will not be created when a previous film box has not been printed
""",
    "procedure-step": """
0001 Warning Requested optional attributes are not supported
""",
    "query-retrieve-find": """
A700 Failure Refused: Out of Resources
A710 Failure Invalid Prior Record Key
A900 Failure Identifier Does Not Match SOP Class
B001 Warning Matching reached response limit, subsequent request may return additional matches
C000-CFFF Failure Unable to Process
FF00 Pending Matches are continuing, current match supplied
FF01 Pending Matches are continuing, warning
""",
    "query-retrieve-get": """
A701 Failure Refused: Out of resources, unable to calculate number of matches
A702 Failure Refused: Out of resources, unable to perform sub-operations
A900 Failure Identifier does not match SOP class
AA00 Failure None of the frames requested were found in the SOP instance
AA01 Failure Unable to create new object for this SOP class
AA02 Failure Unable to extract frames
AA03 Failure Time-based request received for a non-time-based original SOP Instance
AA04 Failure Invalid request
B000 Warning Sub-operations complete, one or more failures or warnings
C000-CFFF Failure Unable to Process
FF00 Pending Sub-operations are continuing
""",
    "query-retrieve-move": """
A701 Failure Refused: Out of resources, unable to calculate number of matches
A702 Failure Refused: Out of resources, unable to perform sub-operations
A801 Failure Move destination unknown
A900 Failure Identifier does not match SOP class
AA00 Failure None of the frames requested were found in the SOP instance
AA01 Failure Unable to create new object for this SOP class
AA02 Failure Unable to extract frames
AA03 Failure Time-based request received for a non-time-based original SOP Instance
AA04 Failure Invalid request
B000 Warning Sub-operations completed, one or more failures
C000-CFFF Failure Unable to Process
FF00 Pending Sub-operations are continuing
""",
    "relevant-patient-information-query": """
A700 Failure Out of resources
A900 Failure Identifier doesn't match SOP Class
C000 Failure Unable to process
C100 Failure More than one match found
C200 Failure Unable to support requested template
FF00 Pending Current match is supplied
""",
    "rt-machine-verification": """
C112 Failure No such object instance - applicable Machine Verification instance not found
C221 Failure The Referenced Fraction Group Number does not exist in the referenced plan
C222 Failure No beams exist within the referenced fraction group
C223 Failure SCU already verifying and cannot currently process this request
C224 Failure Referenced Beam Number not found within the referenced Fraction Group
C225 Failure Referenced device or accessory not supported
C226 Failure Referenced device or accessory not found within the referenced beam
C227 Failure No such object instance - Referenced RT Plan not found
""",
    "storage-management": """
B010 Warning Attribute list error - One or more of Key Attributes are not supported for matching
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
A700 Failure Out of resources
A900 Failure Data set doesn't match SOP Class
C000-CFFF Failure Unable to Process
FF00 Pending Matches are continuing, current match is supplied and any Optional Keys were supported in the same manner as Required Keys
FF01 Pending Matches are continuing, warning that one or more Optional Keys were not supported for existence for this Identifier
""",
    "unified-procedure-step": """
0001 Warning Requested optional attributes are not supported
A700 Failure Out of resources
A900 Failure Identifier doesn't match SOP Class
B300 Warning The UPS was created with modifications
B301 Warning Deletion lock not granted
B304 Warning The UPS is already in the requested state of CANCELED
B305 Warning Coerced invalid values to valid values
B306 Warning The UPS is already in the requested state of COMPLETED
C000-C2FF Failure Unable to Process
C300 Failure The UPS may no longer be updated
C301 Failure The correct Transaction UID was not provided
C302 Failure The UPS is already IN PROGRESS
C303 Failure The UPS may only become SCHEDULED via N-CREATE, not N-SET or N-ACTION
C304 Failure The UPS has not met final state requirements for the requested state change
C305-C306 Failure Unable to Process
C307 Failure Specified SOP Instance UID does not exist or is not a UPS Instance managed by this SCP
C308 Failure Receiving AE-TITLE is unknown to this SCP
C309 Failure The provided value of UPS State was not SCHEDULED
C30A-C30F Failure Unable to Process
C310 Failure The UPS is not yet in the IN PROGRESS state
C311 Failure The UPS is already COMPLETED
C312 Failure The performer cannot be contacted
C313 Failure Performer chooses not to cancel
C314 Failure Specified action is not appropriate for specified instance
C315 Failure SCP does not support Event Reports
C316-CFFF Failure Unable to Process
FF00 Pending Matches are continuing - current match is supplied an any Optional Keys were supported in the same manner as Required Keys
FF01 Pending Matches are continuing - current match is supplied an any Optional Keys were not supported for existence for this Identifier
""",
}
"""Service -> its rows; read through `router.standard.statuses.status_table`."""
