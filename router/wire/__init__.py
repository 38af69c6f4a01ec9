"""Bytes to objects and back: the PDUs of PS3.8 section 9.3, and the one switch to the codec. Floor 1.

pdus.py names all seven and decodes any; associate.py, items.py and user_information.py are the insides of
A-ASSOCIATE. What happens to every message is compiled (_codec): codec.py chooses between that and its twin in
reference/, and is the only way to either.
"""
