"""Each DIMSE exchange written once, as a pair of generators request() and respond() (PS3.7). Floor 3."""
